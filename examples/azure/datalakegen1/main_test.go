// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, "TestFolder\nTestFolder/Test1.txt\n", out.String())
}

func TestAudienceEndsInSlash(t *testing.T) {
	t.Parallel()
	fake, err := laptop.DataLakeGen1()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	cred, err := azhost.NewManagedIdentityCredential(fake.Machine)
	require.NoError(t, err)
	s := &store{url: fake.URL, cred: cred, client: &http.Client{Transport: fake.Transport}}
	names, err := s.list(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"TestFolder"}, names)
	fake.VM.RequireResource(t, "https://datalake.azure.net/")

	s.cred, err = azhost.NewManagedIdentityCredential(azhosttest.NewVM(t).InMemory())
	require.NoError(t, err)
	_, err = s.list(t.Context())
	require.ErrorContains(t, err, "401", "token from another VM")
}

// redirecting redirects the first request to location, and records every request.
type redirecting struct {
	location string
	requests []*http.Request
}

func (r *redirecting) RoundTrip(req *http.Request) (*http.Response, error) {
	r.requests = append(r.requests, req)
	resp := &http.Response{
		StatusCode: http.StatusTemporaryRedirect, Status: "307 Temporary Redirect",
		Header: http.Header{"Location": {r.location}}, Body: io.NopCloser(strings.NewReader("")), Request: req,
	}
	if len(r.requests) > 1 {
		resp.StatusCode, resp.Status = http.StatusCreated, "201 Created"
	}
	return resp, nil
}

func TestTokenStaysInStoreDomain(t *testing.T) {
	t.Parallel()
	cred, err := azhost.NewManagedIdentityCredential(azhosttest.NewVM(t).InMemory())
	require.NoError(t, err)
	for _, row := range []struct {
		location string
		followed bool
	}{
		{"https://my.azuredatalakestore.net/webhdfs/v1/a?op=CREATE&write=true", true},
		{"https://node.my.azuredatalakestore.net/a", true},
		{"/webhdfs/v1/a?op=CREATE&write=true", true},
		{"http://my.azuredatalakestore.net/a", false},
		{"https://azuredatalakestore.net.evil.example/a", false},
		{"https://evilazuredatalakestore.net/a", false},
		{"https://my.azuredatalakestore.net@evil.example/a", false},
		{"https://127.0.0.1/a", false},
	} {
		t.Run(row.location, func(t *testing.T) {
			network := &redirecting{location: row.location}
			s := &store{url: "https://my.azuredatalakestore.net", cred: cred, client: &http.Client{
				Transport:     network,
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}}
			err := s.create(t.Context(), "a", []byte("content"))
			if row.followed {
				require.NoError(t, err)
				require.Len(t, network.requests, 2)
				require.Regexp(t, "^Bearer ", network.requests[1].Header.Get("Authorization"))
				return
			}
			require.ErrorContains(t, err, "refusing to send the token")
			require.Len(t, network.requests, 1)
		})
	}
}
