// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
)

func TestRegistrySharesAndDrops(t *testing.T) {
	var r registry[string, cache]
	a := r.get("a", newCache)
	require.Same(t, a, r.get("a", newCache))
	require.NotSame(t, a, r.get("b", newCache))
	runtime.KeepAlive(a)
	require.True(t, dropped(&r, "a") && dropped(&r, "b"))
}

// dropped collects garbage until r has forgotten the key; the collector's cleanups run in their
// own time.
func dropped[K comparable, V any](r *registry[K, V], key K) bool {
	for range 1000 {
		runtime.GC()
		r.mu.Lock()
		_, held := r.values[key]
		r.mu.Unlock()
		if !held {
			return true
		}
	}
	return false
}

// TestSharedCacheGoesWithItsCredentials: nothing that a request leaves behind holds on to it.
func TestSharedCacheGoesWithItsCredentials(t *testing.T) {
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "IMDS/1.0")
		_, _ = fmt.Fprint(w, `{"access_token":"a.b.c","expires_in":"3600"}`)
	}))
	defer host.Close()
	who := identity{source: SourceIMDS, endpoint: host.URL + "/token"}
	build := func() *ManagedIdentityCredential {
		cred, err := NewManagedIdentityCredential(&ManagedIdentityCredentialOptions{Source: who.source, Endpoint: who.endpoint})
		require.NoError(t, err)
		return cred
	}
	first := build()
	require.Same(t, first.cache, build().cache)
	_, err := first.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"r"}})
	require.NoError(t, err)
	require.Same(t, first.cache, build().cache)
	runtime.KeepAlive(first)
	require.True(t, dropped(&shared.caches, who), "the cache")
	require.True(t, dropped(&shared.endpoints, who.endpoint), "the endpoint")
}

func TestRegistryKeepsASuccessor(t *testing.T) {
	var r registry[string, cache]
	a := r.get("a", newCache)
	r.drop("a") // the cleanup of a predecessor that was collected late
	require.Same(t, a, r.get("a", newCache))
}
