// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// In a bubble, a test of an update of IMDS takes no time.
func ExampleNewVM() {
	_ = func(t *testing.T) { // a test
		synctest.Test(t, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
			require.NoError(t, err)

			vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())
			require.NoError(t, report(t.Context(), cred))
		})
	}
}

// The agent writes its key files to a temporary directory of the test.
func ExampleNewArc() {
	_ = func(t *testing.T) { // a test
		agent := azhosttest.NewArc(t)
		cred, err := azhost.NewManagedIdentityCredential(agent.Options())
		require.NoError(t, err)

		require.NoError(t, report(t.Context(), cred))
		agent.RequireRequests(t, 2) // the first gets a challenge
	}
}

// The code under test creates its own credential, and finds the fake by its environment variables.
func ExampleNewAppService() {
	_ = func(t *testing.T) { // a test
		app := azhosttest.NewAppService(t)
		app.Setenv(t)

		require.NoError(t, billing(t.Context()))
		app.RequireResource(t, "https://storage.azure.com")
	}
}

// The credential finds the node's endpoint, secret, and thumbprint in the environment.
func ExampleNewServiceFabric() {
	_ = func(t *testing.T) { // a test
		node := azhosttest.NewServiceFabric(t)
		node.Setenv(t)

		require.NoError(t, billing(t.Context()))
		node.RequireTokens(t, 1)
	}
}

// Cloud Shell supports only some audiences.
func ExampleNewCloudShell() {
	_ = func(t *testing.T) { // a test
		shell := azhosttest.NewCloudShell(t)
		shell.AllowResources("https://management.azure.com")
		shell.Setenv(t)

		require.Error(t, billing(t.Context())) // it requests https://storage.azure.com
		shell.RequireTokens(t, 0)
	}
}

// A compute without a system-assigned identity names its user-assigned identity in the environment.
func ExampleNewAzureML() {
	_ = func(t *testing.T) { // a test
		compute := azhosttest.NewAzureML(t)
		compute.SetIdentities(azhosttest.UserAssigned("training"))
		compute.Setenv(t)

		require.NoError(t, billing(t.Context()))
		compute.RequireTokens(t, 1)
	}
}

// The credential reads the secret from the environment even if the rest comes from options.
func ExampleHost_Setenv() {
	_ = func(t *testing.T) { // a test
		app := azhosttest.NewAppService(t)
		app.Setenv(t) // before the bubble, because it opens a socket
		synctest.Test(t, func(t *testing.T) {
			cred, err := azhost.NewManagedIdentityCredential(app.InMemory())
			require.NoError(t, err)
			require.NoError(t, report(t.Context(), cred))
		})
	}
}

// The program requests a token only once, because the credential caches it.
func ExampleHost_RequireRequests() {
	_ = func(t *testing.T) { // a test
		vm := azhosttest.NewVM(t)
		cred, err := azhost.NewManagedIdentityCredential(vm.Options())
		require.NoError(t, err)

		for range 10 {
			require.NoError(t, report(t.Context(), cred))
		}
		vm.RequireRequests(t, 1)
	}
}

// Unlike the number of requests, the number of tokens doesn't depend on the kind of host.
func ExampleHost_RequireTokens() {
	_ = func(t *testing.T) { // a test
		agent := azhosttest.NewArc(t)
		cred, err := azhost.NewManagedIdentityCredential(agent.Options())
		require.NoError(t, err)

		require.NoError(t, report(t.Context(), cred))
		agent.RequireTokens(t, 1)
		agent.RequireRequests(t, 2)
	}
}

// The program requests a token for Azure Storage.
func ExampleHost_RequireResource() {
	_ = func(t *testing.T) { // a test
		vm := azhosttest.NewVM(t)
		cred, err := azhost.NewManagedIdentityCredential(vm.Options())
		require.NoError(t, err)

		require.NoError(t, report(t.Context(), cred))
		vm.RequireResource(t, "https://storage.azure.com")
	}
}

// The host accepts one request per second. The credential waits as long as the host asks it to.
func ExampleHost_Throttle() {
	_ = func(t *testing.T) { // a test
		synctest.Test(t, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			vm.Throttle(1, 1)
			cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
			require.NoError(t, err)

			for _, scope := range []string{"https://storage.azure.com/.default", "https://vault.azure.net/.default"} {
				_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
				require.NoError(t, err)
			}
			vm.RequireRequests(t, 3) // the second got status 429
		})
	}
}
