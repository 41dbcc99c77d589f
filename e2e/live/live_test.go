// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

const known = "https://management.azure.com"

// recorded runs every check on a fake host and returns the record.
func recorded(t *testing.T, h *azhosttest.Host, clientID string) (record, errors string, err error) {
	t.Helper()
	var out, texts strings.Builder
	c := &checker{resource: known, clientID: clientID, errors: &texts, options: h.InMemory}
	err = report(t.Context(), &out, "a fake", c)
	for _, r := range h.Requests() {
		require.NotEmpty(t, r.Resource)
	}
	return out.String(), texts.String(), err
}

// requireNoValues fails if the record has an ID of an identity or a value of a response.
func requireNoValues(t *testing.T, record string, ids ...azhosttest.Identity) {
	t.Helper()
	require.NotContains(t, record, "eyJ", "a token")
	require.NotContains(t, record, "http", "an endpoint or a resource")
	for _, id := range ids {
		for _, value := range []string{id.ClientID, id.ObjectID, id.TenantID} {
			require.NotEmpty(t, value)
			require.NotContains(t, record, value)
		}
	}
}

func TestVMRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		user := azhosttest.UserAssigned("reports")
		vm.SetIdentities(azhosttest.SystemAssigned(), user)
		vm.AllowResources(known)
		vm.ReuseTokens(true)
		vm.SetLatency(40 * time.Millisecond)

		record, texts, err := recorded(t, &vm.Host, user.ClientID)
		require.NoError(t, err, texts)
		require.Contains(t, record, "### a fake, 1 January 2000\n\nDetected as IMDS. Agent: IMDS/")
		require.Contains(t, record, strings.Join([]string{
			"| gets a token | yes | a token, valid for about 24 h | 1 | 40ms |",
			"| serves a second call from the cache | yes | the same token | 0 | 0s |",
			"| combines 100 concurrent calls into one request | yes | 1 distinct | 1 | 40ms |",
			"| fails for an unknown resource | yes | AuthenticationFailedError, 400 Bad Request | 1 | 40ms |",
			"| refuses an identity that isn't assigned | yes | AuthenticationFailedError, 400 Bad Request | 1 | 40ms |",
			"| gets a token for a user-assigned identity | yes | another token | 1 | 40ms |",
		}, "\n"))
		require.Contains(t, record, "body {access_token: string, client_id: string, expires_in: string of digits,")
		require.Contains(t, record, "- `400: headers Content-Type, Server, X-Ms-Request-Id; body {error: string, error_description: string}`\n")
		requireNoValues(t, record, azhosttest.SystemAssigned(), user)
		require.Contains(t, texts, string(unknownClient), "the texts of errors are for the person who runs it")
	})
}

func TestArcRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arc := azhosttest.NewArc(t)
		arc.AllowResources(known)

		record, texts, err := recorded(t, &arc.Host, "")
		require.NoError(t, err, texts)
		require.Contains(t, record, "Detected as AzureArc.")
		require.Contains(t, record, "| gets a token | yes | a token, valid for about 24 h | 2 |")
		require.Contains(t, record, "| combines 100 concurrent calls into one request | yes | 1 distinct | 2 |")
		require.Contains(t, record, "- `401: headers ")
		require.Contains(t, record, "Www-Authenticate")
		require.NotContains(t, record, arc.KeyDirectory())
		requireNoValues(t, record, azhosttest.SystemAssigned())
	})
}

func TestAppServiceRecord(t *testing.T) {
	app := azhosttest.NewAppService(t)
	app.AllowResources(known)
	app.Setenv(t)
	secret := app.Environment()["IDENTITY_HEADER"]
	synctest.Test(t, func(t *testing.T) {
		record, texts, err := recorded(t, &app.Host, "")
		require.NoError(t, err, texts)
		require.Contains(t, record, "Detected as AppService. Agent: unknown.")
		require.Contains(t, record, "| fails for an unknown resource | yes | AuthenticationFailedError, 500 Internal Server Error |")
		require.Contains(t, record, "body {message: string, statusCode: number}")
		require.NotContains(t, record+texts, secret)
		requireNoValues(t, record, azhosttest.SystemAssigned())
	})
}

// TestFailedChecks runs on hosts that each fail one check.
func TestFailedChecks(t *testing.T) {
	for _, test := range []struct {
		name string
		host func(vm *azhosttest.VM)
		row  string
	}{
		{"no identity", func(vm *azhosttest.VM) { vm.SetIdentities() }, "| gets a token | **no** | "},
		{"an expired token", func(vm *azhosttest.VM) { vm.SetTokenLifetime(-time.Hour) }, "| gets a token | **no** | "},
		{"a token for every resource", func(vm *azhosttest.VM) { vm.AllowResources() },
			"| fails for an unknown resource | **no** | a token | 1 |"},
		{"a failure in the herd", func(vm *azhosttest.VM) {
			vm.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) {
				return azhosttest.InvalidResource(), vm.RequestCount() > 1
			})
		}, "| combines 100 concurrent calls into one request | **no** | AuthenticationFailedError, 400 Bad Request |"},
		{"a retry in the herd", func(vm *azhosttest.VM) {
			vm.Fail(azhosttest.Fault{}, azhosttest.Throttled(time.Second))
		}, "| combines 100 concurrent calls into one request | **no** | 1 distinct | 2 |"},
		{"the selected identity is ignored", func(vm *azhosttest.VM) {
			vm.SetIdentities(azhosttest.Identity{ClientID: string(unknownClient), ObjectID: "o", TenantID: "t"})
		}, "| refuses an identity that isn't assigned | **no** | a token | 1 |"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				vm.AllowResources(known)
				test.host(vm)
				record, _, err := recorded(t, &vm.Host, "")
				require.Error(t, err)
				require.Contains(t, record, test.row)
				requireNoValues(t, record)
			})
		})
	}
}

// TestUnassignedIdentity checks that the identity in the flag must be assigned.
func TestUnassignedIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.AllowResources(known)
		record, _, err := recorded(t, &vm.Host, azhosttest.UserAssigned("reports").ClientID)
		require.Error(t, err)
		require.Contains(t, record, "| gets a token for a user-assigned identity | **no** | AuthenticationFailedError, 400 Bad Request |")
	})
}

// TestInvalidVariables checks that the record has an error of the constructor.
func TestInvalidVariables(t *testing.T) {
	var out, texts strings.Builder
	c := &checker{errors: &texts, options: func() *azhost.ManagedIdentityCredentialOptions {
		return &azhost.ManagedIdentityCredentialOptions{Source: "Nowhere"}
	}}
	require.Error(t, report(t.Context(), &out, "a fake", c))
	require.Contains(t, out.String(), "| detects the host | **no** | an error from NewManagedIdentityCredential | 0 |")
	require.NotEmpty(t, texts.String())
}

// TestCanceled checks that an interrupted run passes no check.
func TestCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var out, texts strings.Builder
		require.Error(t, report(ctx, &out, "a fake", &checker{resource: known, errors: &texts, options: vm.InMemory}))
		require.Contains(t, out.String(), "| gets a token | **no** | AuthenticationFailedError | 0 |")
	})
}
