// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

const path = "/metadata/identity/oauth2/token"

// claimed has claims, so that each call sends a request and no cache grows.
var claimed = policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}, Claims: "{}"}

// BenchmarkFetchVM gets an uncached token from a server on loopback.
func BenchmarkFetchVM(b *testing.B) {
	client := loopback(b, newIMDS(b))
	b.Run("floor", func(b *testing.B) {
		inTurns(b, func() func() {
			client := bare{b, client}
			return func() {
				client.token("http://169.254.169.254"+path+"?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net", "")
			}
		})
	})
	for _, peer := range peers {
		b.Run(peer.name, func(b *testing.B) {
			inTurns(b, func() func() {
				own := *client // credentials with different Transports are paced separately
				cred := peer.make(b, &own)
				return func() {
					_, err := cred.GetToken(b.Context(), claimed)
					check(b, err)
				}
			})
		})
	}
}

// inTurns measures the function that begin returns. After every 20 calls it calls begin again, which is not
// measured: azhost sends IMDS at most 20 requests in any second, so the 21st would wait.
func inTurns(b *testing.B, begin func() func()) {
	var call func()
	for i := 0; b.Loop(); i++ {
		if i%19 == 0 {
			b.StopTimer()
			call = begin()
			call() // makes the pipeline
			b.StartTimer()
		}
		call()
	}
}

// BenchmarkObserve gets an uncached token from memory, without an observer (the floor) and with one.
func BenchmarkObserve(b *testing.B) {
	for name, observe := range map[string]func(azhost.Event){"floor": nil, "azhost": func(azhost.Event) {}} {
		b.Run(name, func(b *testing.B) {
			cred := unpaced(b, observe)
			for b.Loop() {
				_, err := cred.GetToken(b.Context(), claimed)
				check(b, err)
			}
		})
	}
}

// agentKeys is the real agent's key directory, or "" if TestMain can't create it.
var agentKeys string

// BenchmarkFetchArc gets an uncached token from an agent, which writes a new key file for each challenge.
// azidentity reads keys only from the real agent's directory.
func BenchmarkFetchArc(b *testing.B) {
	dir := cmp.Or(agentKeys, b.TempDir())
	var challenges int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "" {
			_, _ = io.WriteString(w, answer())
			return
		}
		challenges++ // requests come one after the other
		key := filepath.Join(dir, fmt.Sprintf("%d.key", challenges%16))
		if err := os.WriteFile(key, []byte("ehJZcpDnEvS1yFLDGiCyhFYwQvmDdDXtHTDNnaAoWB"), 0o600); err != nil {
			b.Error(err)
		}
		w.Header().Set("WWW-Authenticate", "Basic realm="+key)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	b.Cleanup(server.Close)
	b.Run("floor", func(b *testing.B) {
		client := bare{b, loopback(b, server.Listener.Addr().String())}
		url := "http://localhost" + path + "?api-version=2020-06-01&resource=https%3A%2F%2Fvault.azure.net"
		for b.Loop() {
			key, err := os.ReadFile(client.challenge(url))
			check(b, err)
			client.token(url, "Basic "+string(key))
		}
	})
	b.Run("azhost", func(b *testing.B) {
		cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
			Source: azhost.SourceAzureArc, Endpoint: server.URL + path, ArcKeyDirectory: dir,
		})
		check(b, err)
		for b.Loop() {
			_, err := cred.GetToken(b.Context(), claimed)
			check(b, err)
		}
	})
	if agentKeys == "" {
		return
	}
	b.Run("azidentity", func(b *testing.B) {
		b.Setenv("IDENTITY_ENDPOINT", server.URL+path)
		b.Setenv("IMDS_ENDPOINT", server.URL)
		cred := peers[1].make(b, loopback(b, server.Listener.Addr().String()))
		for b.Loop() {
			_, err := cred.GetToken(b.Context(), claimed)
			check(b, err)
		}
	})
}

// bare is what a careful program without a library would do: it limits the time and size of a response, and
// parses the expiry.
type bare struct {
	testing.TB
	*http.Client
}

func (c bare) get(url, proof string) *http.Response {
	req, err := http.NewRequestWithContext(c.Context(), http.MethodGet, url, nil)
	check(c, err)
	req.Header.Set("Metadata", "true")
	if proof != "" {
		req.Header.Set("Authorization", proof)
	}
	resp, err := c.Do(req)
	check(c, err)
	return resp
}

func (c bare) challenge(url string) string {
	resp := c.get(url, "")
	check(c, resp.Body.Close())
	return resp.Header.Get("WWW-Authenticate")[len("Basic realm="):]
}

func (c bare) token(url, proof string) {
	resp := c.get(url, proof)
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	check(c, err)
	var token struct {
		AccessToken string `json:"access_token"`
		ExpiresOn   string `json:"expires_on"`
	}
	check(c, json.Unmarshal(body, &token))
	_, err = strconv.ParseInt(token.ExpiresOn, 10, 64)
	check(c, err)
}
