// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/internal/detect"
	"github.com/stretchr/testify/require"
)

const vault = "https://vault.azure.net"

func TestTokenOutput(t *testing.T) {
	vm := azhosttest.NewVM(t)
	got := do(t.Context(), wire(vm.Do), nil, "token", "--resource", vault, "--source", "IMDS")
	claims, err := vm.Verify(strings.TrimSuffix(got.stdout, "\n"))
	require.NoError(t, err)
	require.Equal(t, vault, claims["aud"])

	got = do(t.Context(), wire(vm.Do), nil, "token", "--resource", vault, "--source", "IMDS", "-o", "json")
	var answer map[string]string
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &answer))
	expires, err := time.Parse(time.RFC3339, answer["expiresOn"])
	require.NoError(t, err)
	require.True(t, expires.After(time.Now().Add(23*time.Hour)))
}

func TestTokenIdentity(t *testing.T) {
	id := azhosttest.UserAssigned("reports")
	for flag, value := range map[string]string{"--client-id": id.ClientID, "--object-id": id.ObjectID, "--resource-id": id.ResourceID} {
		t.Run(flag, func(t *testing.T) {
			arc := azhosttest.NewArc(t)
			arc.SetIdentities(azhosttest.SystemAssigned(), id)
			got := do(t.Context(), wire(arc.Do), nil, "token", "--resource", vault, "--source", "AzureArc",
				"--endpoint", "http://127.0.0.1:40342/metadata/identity/oauth2/token", "--arc-key-directory", arc.KeyDirectory(), flag, value)
			require.Equal(t, exitOK, got.code, got.stderr)
			claims, err := arc.Verify(strings.TrimSuffix(got.stdout, "\n"))
			require.NoError(t, err)
			require.Equal(t, id.ObjectID, claims["oid"])
		})
	}
}

func TestTokenExitStatuses(t *testing.T) {
	vm := func(faults ...azhosttest.Fault) func(*testing.T) wire {
		return func(t *testing.T) wire {
			vm := azhosttest.NewVM(t)
			vm.Fail(faults...)
			return vm.Do
		}
	}
	none := func(t *testing.T) wire {
		vm := azhosttest.NewVM(t)
		vm.SetIdentities()
		return vm.Do
	}
	for _, test := range []struct {
		name   string
		wire   func(*testing.T) wire
		env    map[string]string
		args   []string
		code   int
		stderr string
	}{
		{"a token", vm(), nil, nil, exitOK, ""},
		{"no host", func(*testing.T) wire { return refuse }, nil, nil, exitUnavailable, "connection refused"},
		{"an agent that is down", func(*testing.T) wire { return refuse }, nil, []string{"--source", "AzureArc", "--endpoint", detect.ArcTokenEndpoint, "--arc-key-directory", os.TempDir()}, exitDown, "connection refused"},
		{"foreign response", vm(azhosttest.Portal()), nil, nil, exitUnavailable, "169.254.169.254"},
		{"no identity", none, nil, nil, exitUnavailable, "identity"},
		{"no such identity", vm(), nil, []string{"--client-id", "x"}, exitFailed, "identity"},
		{"no such resource", vm(azhosttest.InvalidResource()), nil, nil, exitFailed, "resource"},
		{"forbidden", vm(azhosttest.Fault{Status: 403, Body: `{"error":"a","error_description":"b"}`}), nil, nil, exitFailed, "403 Forbidden"},
		{"timeout", vm(azhosttest.Fault{Delay: time.Hour}), nil, []string{"--timeout", "3s"}, exitFailed, "--timeout 3s"},
		{"an endpoint elsewhere in the environment", vm(),
			map[string]string{"IDENTITY_ENDPOINT": "http://10.0.0.4/x", "IMDS_ENDPOINT": "x"},
			[]string{"--source", "", "--endpoint", ""}, exitFailed, "IDENTITY_ENDPOINT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			noHost(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			synctest.Test(t, func(t *testing.T) {
				args := append([]string{"token", "--resource", vault, "--source", "IMDS", "--endpoint", detect.IMDSTokenEndpoint}, test.args...)
				got := do(t.Context(), test.wire(t), nil, args...)
				settle()
				require.Equal(t, test.code, got.code, got.stderr)
				require.Contains(t, got.stderr, test.stderr)
				require.NotContains(t, got.stderr, "eyJ")
				if test.code != exitOK {
					require.Empty(t, got.stdout)
					require.True(t, strings.HasPrefix(got.stderr, "azhost token: "), got.stderr)
				}
			})
		})
	}
}

func TestTokenInterrupted(t *testing.T) {
	noHost(t)
	for signal, want := range map[os.Signal]result{
		os.Interrupt:    {exitInterrupted, "", "azhost token: interrupted\n"},
		syscall.SIGTERM: {exitTerminated, "", "azhost token: stopped by signal: terminated\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			vm.SetLatency(time.Hour)
			ctx, stop := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { stop(interrupted{signal}) })
			start := time.Now()
			require.Equal(t, want, do(ctx, wire(vm.Do), nil, "token", "vault", "--source", "IMDS"))
			require.Equal(t, time.Second, time.Since(start))
			settle()
		})
	}
}

func TestLongWaitsShowProgressOnATerminal(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		latency  time.Duration
		want     string
	}{
		{"terminal, short", true, progressAfter - 1, ""},
		{"terminal, long", true, progressAfter + 1, "azhost: waiting for IMDS (2s)\n"},
		{"terminal, longer", true, progressAfter + progressEvery + 1, "azhost: waiting for IMDS (2s)\nazhost: waiting for IMDS (7s)\n"},
		{"pipe, longer", false, progressAfter + progressEvery + 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				vm.SetLatency(test.latency)
				got := do(t.Context(), wire(vm.Do), func(p *process) { p.err.terminal = test.terminal },
					"token", "--resource", vault, "--source", "IMDS", "--endpoint", detect.IMDSTokenEndpoint)
				require.Equal(t, exitOK, got.code)
				require.Equal(t, test.want, got.stderr)
			})
		})
	}
}

func TestResourceNames(t *testing.T) {
	for _, r := range resources() {
		for i, cloud := range cloudNames() {
			got, err := resolveResource(r.name, cloud)
			require.NoError(t, err)
			require.Equal(t, r.uris[i], got)
			require.NotEmpty(t, got)
		}
	}
	for _, uri := range []string{"https://example.com", "api://orders/.default", aksServer, "urn:x", "https://database.windows.net//.default"} {
		got, err := resolveResource(uri, "china")
		require.NoError(t, err)
		require.Equal(t, uri, got)
	}
}

// TestTokenFresh checks that --fresh tells the host which token to replace.
func TestTokenFresh(t *testing.T) {
	noHost(t)
	arc := azhosttest.NewArc(t)
	var bypassed []bool
	transport := wire(func(req *http.Request) (*http.Response, error) {
		if req.Header.Get("Authorization") != "" {
			bypassed = append(bypassed, req.URL.Query().Get("bypass_cache") == "true")
		}
		return arc.Do(req)
	})
	for _, args := range [][]string{{"--fresh"}, {"--fresh", "--out", filepath.Join(t.TempDir(), "token")}} {
		bypassed = nil
		got := do(t.Context(), transport, nil, append([]string{
			"token", "vault", "--source", "AzureArc", "--endpoint", detect.ArcTokenEndpoint, "--arc-key-directory", arc.KeyDirectory(),
		}, args...)...)
		require.Equal(t, exitOK, got.code, got.stderr)
		require.Equal(t, []bool{false, true}, bypassed)
	}

	fabric := azhosttest.NewServiceFabric(t)
	fabric.Setenv(t)
	got := do(t.Context(), nil, nil, "token", "vault", "--fresh")
	require.Equal(t, exitOK, got.code, got.stderr)
	fabric.RequireRequests(t, 2)

	// If the first request fails, there is no second one.
	vm := azhosttest.NewVM(t)
	vm.SetIdentities()
	got = do(t.Context(), wire(vm.Do), nil, "token", "vault", "--source", "IMDS", "--fresh")
	require.Equal(t, exitUnavailable, got.code, got.stderr)
	vm.RequireRequests(t, 1)
}

// TestTokenTimeoutShowsTheLastResponse checks that the error has the host's last response, which explains
// more than the timeout.
func TestTokenTimeoutShowsTheLastResponse(t *testing.T) {
	noHost(t)
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.FailUntil(time.Now().Add(time.Hour), azhosttest.Updating())
		start := time.Now()
		got := do(t.Context(), wire(vm.Do), nil, "token", "vault", "--source", "IMDS", "--timeout", "5s")
		require.Equal(t, exitFailed, got.code)
		require.Equal(t, 5*time.Second, time.Since(start))
		require.Equal(t, "azhost token: gave up waiting for a token for \"https://vault.azure.net\": context deadline exceeded (--timeout 5s); "+
			"last attempt: IMDS: GET http://169.254.169.254/metadata/identity/oauth2/token: 410 Gone\n", got.stderr)
	})
}
