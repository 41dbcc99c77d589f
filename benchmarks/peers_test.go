// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
)

// peers are the two libraries, by their names in the table.
var peers = []struct {
	name string
	make func(testing.TB, policy.Transporter) azcore.TokenCredential
	fill func(testing.TB) azcore.TokenCredential // for thousands of tokens, in memory
}{
	{"azhost", newAzhost, func(t testing.TB) azcore.TokenCredential { return unpaced(t, nil) }},
	{"azidentity", newAzidentity, func(t testing.TB) azcore.TokenCredential { return newAzidentity(t, memory{}) }},
}

func newAzhost(t testing.TB, transport policy.Transporter) azcore.TokenCredential {
	var o azhost.ManagedIdentityCredentialOptions
	o.Transport = transport
	cred, err := azhost.NewManagedIdentityCredential(&o)
	check(t, err)
	return cred
}

// unpaced returns an azhost credential that requests its tokens without pauses. With IMDS, azhost sends at
// most 20 requests in any second. The cache works the same.
func unpaced(t testing.TB, observe func(azhost.Event)) *azhost.ManagedIdentityCredential {
	o := azhost.ManagedIdentityCredentialOptions{
		Source: azhost.SourceCloudShell, Endpoint: "http://localhost:50342/oauth2/token", Observe: observe,
	}
	o.Transport = memory{}
	cred, err := azhost.NewManagedIdentityCredential(&o)
	check(t, err)
	return cred
}

func newAzidentity(t testing.TB, transport policy.Transporter) azcore.TokenCredential {
	var o azidentity.ManagedIdentityCredentialOptions
	o.Transport = transport
	cred, err := azidentity.NewManagedIdentityCredential(&o)
	check(t, err)
	return cred
}

// bearer is as long as a real token.
var bearer = strings.Repeat("0123456789", 150)

// answer returns IMDS's response, without the fields that no client reads.
func answer() string {
	return fmt.Sprintf(`{"access_token":%q,"expires_in":"86399","expires_on":"%d","resource":"r","token_type":"Bearer"}`,
		bearer, time.Now().Add(24*time.Hour).Unix())
}

// memory responds to every request at once, without a network.
type memory struct{}

func (memory) Do(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Server": {"IMDS/150.870.65.1"}},
		Body: io.NopCloser(strings.NewReader(answer())), Request: req,
	}, nil
}

// newIMDS returns the address of an IMDS on loopback.
func newIMDS(t testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "IMDS/150.870.65.1")
		_, _ = io.WriteString(w, answer())
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// loopback returns a client that connects to the server at address, whatever the URL's host, because
// azidentity sends requests only to 169.254.169.254.
func loopback(t testing.TB, address string) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

// scopes returns n scopes, the same ones for the same name.
func scopes(name string, n int) []policy.TokenRequestOptions {
	all := make([]policy.TokenRequestOptions, n)
	for i := range all {
		all[i].Scopes = []string{fmt.Sprintf("https://%s-%d.vault.azure.net/.default", name, i)}
	}
	return all
}

func check(t testing.TB, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}
