// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// newServer returns the web app's URL on an App Service. Its test isn't parallel, because the
// platform's variables are the process's.
func newServer(t *testing.T, platform *azhosttest.AppService) string {
	t.Helper()
	platform.Setenv(t)
	manager := httptest.NewTLSServer(resourceManager(platform))
	t.Cleanup(manager.Close)
	client, err := newClient(manager.Client())
	require.NoError(t, err)
	server := httptest.NewServer((&app{client: client, manager: manager.URL}).handler())
	t.Cleanup(server.Close)
	return server.URL
}

func TestLaptop(t *testing.T) {
	azhosttest.NewAppService(t).Setenv(t) // restores the variables that laptop sets
	var out bytes.Buffer
	require.NoError(t, laptop(t.Context(), &out))
	require.Equal(t, "GET /healthz: 200 OK: ok\nGET /: 200 OK: subscriptions: Development\n", out.String())
}

func TestRequestsShareAToken(t *testing.T) {
	platform := azhosttest.NewAppService(t)
	url := newServer(t, platform)
	for range 3 {
		var out bytes.Buffer
		require.NoError(t, get(t.Context(), &out, url, "/"))
		require.Equal(t, "GET /: 200 OK: subscriptions: Development\n", out.String())
	}
	platform.RequireRequests(t, 1)
	platform.RequireResource(t, "https://management.azure.com/")
}

func TestUserAssignedIdentity(t *testing.T) {
	reader := azhosttest.UserAssigned("reader")
	platform := azhosttest.NewAppService(t)
	platform.SetIdentities(reader)
	t.Setenv("AZURE_CLIENT_ID", reader.ClientID)
	require.NoError(t, get(t.Context(), io.Discard, newServer(t, platform), "/"))
	require.Equal(t, "client_id="+reader.ClientID, platform.Requests()[0].Selector)
}

// Without an identity, the app stays healthy, and its users don't see why it fails.
func TestNoIdentity(t *testing.T) {
	platform := azhosttest.NewAppService(t)
	platform.SetIdentities()
	url := newServer(t, platform)
	var logged, out bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	require.NoError(t, get(t.Context(), &out, url, "/healthz"))
	require.NoError(t, get(t.Context(), &out, url, "/"))
	require.Equal(t, "GET /healthz: 200 OK: ok\nGET /: 502 Bad Gateway: Azure Resource Manager is unavailable\n", out.String())
	require.Contains(t, logged.String(), "App Service")
}

func TestServe(t *testing.T) {
	azhosttest.NewAppService(t).Setenv(t)
	t.Setenv("PORT", "0")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- serve(ctx, in) }()
	line := make([]byte, 100)
	n, err := out.Read(line)
	require.NoError(t, err)
	port := line[bytes.LastIndexByte(line[:n], ':')+1 : n]
	resp, err := http.Get("http://127.0.0.1:" + strings.TrimSpace(string(port)) + "/healthz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	cancel()
	require.NoError(t, <-done)
}

func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	require.Contains(t, string(text), " ./examples/webapp\n")
	require.Regexp(t, `(?m)^USER [1-9]\d*:[1-9]\d*$`, string(text))
	require.Contains(t, string(text), "\nEXPOSE 8080\n", "the default port")
}
