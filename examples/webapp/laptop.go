// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/azhost/azhost/azhosttest"
)

// laptop calls the web app's URLs, on a fake App Service and with a fake Azure Resource Manager.
func laptop(ctx context.Context, out io.Writer) error {
	platform, err := azhosttest.ListenAppService("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer platform.Close()
	for name, value := range platform.Environment() {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	manager := httptest.NewTLSServer(resourceManager(platform))
	defer manager.Close()
	client, err := newClient(manager.Client())
	if err != nil {
		return err
	}
	a := &app{client: client, manager: manager.URL}
	server := httptest.NewServer(a.handler())
	defer server.Close()
	for _, path := range []string{"/healthz", "/"} {
		if err := get(ctx, out, server.URL, path); err != nil {
			return err
		}
	}
	return nil
}

func get(ctx context.Context, out io.Writer, server, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "GET %s: %s: %s", path, resp.Status, body)
	return nil
}

// resourceManager is an Azure Resource Manager with one subscription. It checks the platform's tokens.
func resourceManager(platform *azhosttest.AppService) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /subscriptions", func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		claims, err := platform.Verify(token)
		if err != nil || claims["aud"] != "https://management.azure.com/" || r.FormValue("api-version") != "2022-12-01" {
			http.Error(w, `{"error":{"code":"InvalidAuthenticationToken"}}`, http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"value":[{"displayName":"Development"}]}`)
	})
	return mux
}
