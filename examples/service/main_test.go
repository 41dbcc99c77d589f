// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// The HMAC-SHA256 of "a message" with the fake vault's key.
const signature = "6bd832483419ae76c23e4015ca82eede0bdb14800d685b8c550374ed628a65f5\n"

// inMemory calls a handler without a socket, which a bubble of synctest needs.
type inMemory struct{ http.Handler }

func (m inMemory) Do(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, req)
	resp := w.Result()
	resp.Request = req
	return resp, nil
}

// start returns a service on vm that keeps its token fresh until the test ends.
func start(t *testing.T, vm *azhosttest.VM) *service {
	t.Helper()
	s, err := newService(laptopVault, vm.InMemory(), azcore.ClientOptions{Transport: inMemory{fakeVault(vm)}}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	go s.keepFresh(t.Context())
	t.Cleanup(func() { time.Sleep(5 * time.Minute) }) // a refresh that is under way outlives its callers
	synctest.Wait()
	return s
}

// request returns the service's response to a request: the status and the body.
func request(t *testing.T, s *service, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func requireSigned(t *testing.T, s *service) {
	t.Helper()
	status, body := request(t, s, "POST", "/sign", "a message")
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, signature, body)
}

func requireReady(t *testing.T, s *service) {
	t.Helper()
	status, body := request(t, s, "GET", "/readyz", "")
	require.Equal(t, http.StatusOK, status, body)
}

func requireNotReady(t *testing.T, s *service) {
	t.Helper()
	status, body := request(t, s, "GET", "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "no valid token for https://vault.azure.net\n", body)
	status, _ = request(t, s, "GET", "/healthz", "")
	require.Equal(t, http.StatusOK, status, "a restart wouldn't help")
}

// The service gets its token before the first request, which then uses it.
func TestWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		s := start(t, vm)
		requireReady(t, s)
		vm.RequireTokens(t, 1)
		requireSigned(t, s)
		vm.RequireTokens(t, 1)
		vm.RequireResource(t, "https://vault.azure.net")
	})
}

// A service that starts during an update of IMDS isn't ready until the update is over.
func TestUpdateAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())
		s := start(t, vm)
		requireNotReady(t, s)
		time.Sleep(3 * time.Minute)
		requireReady(t, s)
		requireSigned(t, s)
	})
}

// During an outage, requests succeed while the token is valid, and the health page shows the failures. Once
// the token has expired, the service isn't ready until a request in the background succeeds after the
// outage.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		s := start(t, vm)
		vm.Stop()
		time.Sleep(24*time.Hour - time.Second)
		requireReady(t, s)
		requireSigned(t, s)
		_, health := request(t, s, "GET", "/healthz", "")
		require.Contains(t, health, "connection refused")
		require.NotContains(t, health, "failures 0")

		time.Sleep(time.Second)
		requireNotReady(t, s)
		status, body := request(t, s, "POST", "/sign", "a message")
		require.Equal(t, http.StatusServiceUnavailable, status, body)

		require.NoError(t, vm.Start())
		time.Sleep(6 * time.Minute) // longer than any pause between token requests
		requireReady(t, s)
		requireSigned(t, s)
	})
}

// After days without a request, the next one finds a valid token.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		s := start(t, vm)
		for range 7 {
			time.Sleep(24*time.Hour + time.Minute)
			requireReady(t, s)
			requests := vm.RequestCount()
			requireSigned(t, s)
			require.Equal(t, requests, vm.RequestCount(), "the service had to get a token")
		}
	})
}

// The service never sends an expired token, which the vault would reject.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.SetTokenLifetime(time.Hour)
		s := start(t, vm)
		for range 100 {
			time.Sleep(7 * time.Minute)
			requireSigned(t, s)
		}
		vm.RequireTokens(t, 13)
	})
}

// Concurrent requests at a cold start share one token request, so they stay within IMDS's limits.
func TestConcurrentRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.Throttle(20, 5)
		vm.SetLatency(time.Second)
		s := start(t, vm)
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() { requireSigned(t, s) })
		}
		all.Wait()
		vm.RequireRequests(t, 1)
	})
}

// Without an identity, the log says what to do.
func TestNoIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.SetIdentities()
		var lines bytes.Buffer
		s, err := newService(laptopVault, vm.InMemory(), azcore.ClientOptions{Transport: inMemory{fakeVault(vm)}}, slog.New(slog.NewJSONHandler(&lines, nil)))
		require.NoError(t, err)
		status, _ := request(t, s, "POST", "/sign", "a message")
		require.Equal(t, http.StatusServiceUnavailable, status)
		synctest.Wait()
		require.Contains(t, lines.String(), `"msg":"no signing key","error":"azhost: `)
		require.Contains(t, lines.String(), "Identity not found")
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		s := start(t, vm)
		time.Sleep(time.Hour)
		vm.Stop()
		time.Sleep(13 * time.Hour)
		_, text := request(t, s, "GET", "/metrics", "")
		var metrics []string
		for line := range strings.Lines(text) {
			name, labels, _ := strings.Cut(line, "{")
			labels, value, _ := strings.Cut(labels, "} ")
			labels, _, _ = strings.Cut(labels, ",otel_scope_")
			switch {
			case name == "azhost_token_request_duration_seconds_count":
				metrics = append(metrics, name+"{"+labels+"}")
			case name == "azhost_token_remaining_seconds", strings.HasPrefix(labels, `azhost_background="false"`) && name == "azhost_token_requests_total":
				metrics = append(metrics, name+"{"+labels+"} "+value)
			}
		}
		require.Equal(t, []string{
			`azhost_token_remaining_seconds{azhost_resource="https://vault.azure.net",azhost_source="IMDS"} 36000` + "\n",
			`azhost_token_request_duration_seconds_count{azhost_background="false",azhost_outcome="success",azhost_source="IMDS"}`,
			`azhost_token_request_duration_seconds_count{azhost_background="true",azhost_outcome="failure",azhost_source="IMDS",error_type="_OTHER"}`,
			`azhost_token_requests_total{azhost_background="false",azhost_outcome="success",azhost_source="IMDS"} 1` + "\n",
		}, metrics)
	})
}

func TestLargeMessageIsRejected(t *testing.T) {
	vm := azhosttest.NewVM(t)
	s, err := newService(laptopVault, vm.InMemory(), azcore.ClientOptions{Transport: inMemory{fakeVault(vm)}}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	http.MaxBytesHandler(s, 10).ServeHTTP(w, httptest.NewRequest("POST", "/sign", strings.NewReader("more than 10 bytes")))
	require.Equal(t, http.StatusBadRequest, w.Code)
}
