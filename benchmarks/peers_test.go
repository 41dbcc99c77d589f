// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
)

// peers are the two libraries, by the name that the table knows them by.
var peers = []struct {
	name string
	make func(testing.TB, policy.Transporter) azcore.TokenCredential
}{
	{"azhost", func(t testing.TB, transport policy.Transporter) azcore.TokenCredential {
		o := azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS}
		o.Transport = transport
		cred, err := azhost.NewManagedIdentityCredential(&o)
		check(t, err)
		return cred
	}},
	{"azidentity", func(t testing.TB, transport policy.Transporter) azcore.TokenCredential {
		var o azidentity.ManagedIdentityCredentialOptions
		o.Transport = transport
		cred, err := azidentity.NewManagedIdentityCredential(&o)
		check(t, err)
		return cred
	}},
}

// bearer is as long as a real token.
var bearer = strings.Repeat("0123456789", 150)

// answer is what IMDS says, without the fields that nobody reads.
func answer() string {
	return fmt.Sprintf(`{"access_token":%q,"expires_in":"86399","expires_on":"%d","resource":"r","token_type":"Bearer"}`,
		bearer, time.Now().Add(24*time.Hour).Unix())
}

// memory answers every request at once, without a network.
type memory struct{}

func (memory) Do(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Server": {"IMDS/150.870.65.1"}},
		Body: io.NopCloser(strings.NewReader(answer())), Request: req,
	}, nil
}

// loopback is a client whose connections all go to the server at address, whatever the URL's
// host: azidentity asks 169.254.169.254 and nothing else.
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
