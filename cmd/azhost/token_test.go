// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

const vault = "https://vault.azure.net"

func TestTokenForms(t *testing.T) {
	for _, form := range []string{"token", "json", "header", "env", "exec-credential"} {
		t.Run(form, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			for _, resource := range []string{vault, vault + "/.default"} {
				got := do(t.Context(), wire(vm.Do), nil, "token", "--resource", resource, "--source", "imds", "-o", form)
				require.Equal(t, exitOK, got.code, got.stderr)
				require.Empty(t, got.stderr)
				requireGolden(t, "token-"+form, got.stdout)
			}
			vm.RequireResource(t, vault)
			vm.RequireRequests(t, 2)
		})
	}
}

func TestTokenIsTheHosts(t *testing.T) {
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

func TestTokenSelectsTheIdentity(t *testing.T) {
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
		{"nobody there", func(*testing.T) wire { return nobody }, nil, nil, exitUnavailable, "This is no Azure VM"},
		{"somebody else there", vm(azhosttest.Portal()), nil, nil, exitUnavailable, "something else owns this address"},
		{"no identity", none, nil, nil, exitUnavailable, "Does this machine have a managed identity?"},
		{"no such identity", vm(), nil, []string{"--client-id", "x"}, exitFailed, "Is the user-assigned identity"},
		{"no such resource", vm(azhosttest.InvalidResource()), nil, nil, exitFailed, "Microsoft Entra refuses this resource"},
		{"forbidden", vm(azhosttest.Fault{Status: 403, Body: `{"error":"a","error_description":"b"}`}), nil, nil, exitFailed, "403 Forbidden: a: b"},
		{"no time left", vm(azhosttest.Fault{Delay: time.Hour}), nil, []string{"--timeout", "3s"}, exitFailed, "--timeout 3s"},
		{"an endpoint elsewhere in the environment", vm(),
			map[string]string{"IDENTITY_ENDPOINT": "http://10.0.0.4/x", "IMDS_ENDPOINT": "x"},
			[]string{"--source", "", "--endpoint", ""}, exitFailed, "does not point to this machine"},
	} {
		t.Run(test.name, func(t *testing.T) {
			noHost(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			synctest.Test(t, func(t *testing.T) {
				args := append([]string{"token", "--resource", vault, "--source", "IMDS", "--endpoint", imdsEndpoint}, test.args...)
				got := do(t.Context(), test.wire(t), nil, args...)
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

func TestInterruptEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.SetLatency(time.Hour)
		ctx, interrupt := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, interrupt)
		start := time.Now()
		got := do(ctx, wire(vm.Do), nil, "token", "--resource", vault, "--source", "IMDS", "--endpoint", imdsEndpoint)
		require.Equal(t, exitFailed, got.code)
		require.Equal(t, time.Second, time.Since(start))
		require.Contains(t, got.stderr, "context canceled")
	})
}

func TestLongWaitsShowProgressOnATerminal(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		latency  time.Duration
		want     string
	}{
		{"terminal, just not long", true, progressAfter - 1, ""},
		{"terminal, long", true, progressAfter + 1, "azhost: waiting for IMDS, 2s so far\n"},
		{"terminal, longer", true, progressAfter + progressEvery + 1, "azhost: waiting for IMDS, 2s so far\nazhost: waiting for IMDS, 7s so far\n"},
		{"pipe, longer", false, progressAfter + progressEvery + 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				vm.SetLatency(test.latency)
				got := do(t.Context(), wire(vm.Do), func(p *process) { p.terminal = test.terminal },
					"token", "--resource", vault, "--source", "IMDS", "--endpoint", imdsEndpoint)
				require.Equal(t, exitOK, got.code)
				require.Equal(t, test.want, got.stderr)
			})
		})
	}
}

func TestQuoted(t *testing.T) {
	require.Equal(t, `'a'\''b'`, quoted("a'b"))
}
