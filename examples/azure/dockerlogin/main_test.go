// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Regexp(t, `^[\w-]+\.[\w-]+\.[\w-]+\n$`, out.String())
}

// The registry accepts the password in the requests that docker login sends.
func TestDockerLogin(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Registry()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	client := &http.Client{Transport: fake.Transport}
	get := func(url, user, password, bearer string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		require.NoError(t, err)
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := client.Do(req)
		require.NoError(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	secret, err := password(t.Context(), fake.URL, fake.Machine, fake.Client)
	require.NoError(t, err)
	fake.VM.RequireResource(t, "https://containerregistry.azure.net")

	challenged := get(fake.URL+"/v2/", "", "", "")
	require.Equal(t, http.StatusUnauthorized, challenged.StatusCode)
	realm, ok := strings.CutPrefix(challenged.Header.Get("WWW-Authenticate"), `Bearer realm="`)
	require.True(t, ok)
	realm, service, ok := strings.Cut(strings.TrimSuffix(realm, `"`), `",service="`)
	require.True(t, ok)

	issued := get(realm+"?client_id=docker&offline_token=true&service="+service, "00000000-0000-0000-0000-000000000000", secret, "")
	require.Equal(t, http.StatusOK, issued.StatusCode)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(issued.Body).Decode(&answer))
	require.Equal(t, http.StatusOK, get(fake.URL+"/v2/", "", "", answer.AccessToken).StatusCode)

	for _, row := range []struct{ name, user, password string }{
		{"wrong user", "someone", secret},
		{"wrong password", "00000000-0000-0000-0000-000000000000", secret + "A"},
		{"access token as password", "00000000-0000-0000-0000-000000000000", answer.AccessToken},
	} {
		require.Equal(t, http.StatusUnauthorized, get(realm, row.user, row.password, "").StatusCode, row.name)
	}
	require.Equal(t, http.StatusUnauthorized, get(fake.URL+"/v2/", "", "", secret).StatusCode, "a refresh token is not an access token")
}

func TestTokenFromAnotherVM(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Registry()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	_, err = password(t.Context(), fake.URL, azhosttest.NewVM(t).InMemory(), fake.Client)
	require.ErrorContains(t, err, "UNAUTHORIZED")
}
