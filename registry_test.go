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
	require.True(t, dropped(&shared.gates, who.endpoint), "the endpoint")
}

func TestRegistryKeepsASuccessor(t *testing.T) {
	var r registry[string, cache]
	a := r.get("a", newCache)
	r.drop("a") // the cleanup of a predecessor that was collected late
	require.Same(t, a, r.get("a", newCache))
}

// TestWhatIsNotShared: credentials that may get another token, or by another way, have caches of
// their own.
func TestWhatIsNotShared(t *testing.T) {
	for _, name := range []string{"IDENTITY_HEADER", "MSI_SECRET"} {
		t.Setenv(name, "secret")
	}
	const endpoint, id = "http://127.0.0.1:1/token", "6a8a3b3e-6bd3-4f4e-8c1d-6f0f3f4a2d11"
	t.Setenv("IDENTITY_ENDPOINT", endpoint)
	t.Setenv("IMDS_ENDPOINT", "")
	keys, others := t.TempDir(), t.TempDir()
	var all []*ManagedIdentityCredential // held on to, so that none is dropped
	caches := map[*cache]string{}
	for name, o := range map[string]ManagedIdentityCredentialOptions{
		"IMDS":                 {Source: SourceIMDS},
		"another endpoint":     {Source: SourceIMDS, Endpoint: endpoint},
		"one more":             {Source: SourceIMDS, Endpoint: endpoint + "2"},
		"client ID":            {Source: SourceIMDS, Endpoint: endpoint, ID: ClientID(id)},
		"object ID":            {Source: SourceIMDS, Endpoint: endpoint, ID: ObjectID(id)},
		"resource ID":          {Source: SourceIMDS, Endpoint: endpoint, ID: ResourceID(id)},
		"another client ID":    {Source: SourceIMDS, Endpoint: endpoint, ID: ClientID("other")},
		"App Service":          {Source: SourceAppService, Endpoint: endpoint},
		"the variable's":       {Source: SourceAppService},
		"Azure ML":             {Source: SourceAzureML, Endpoint: endpoint},
		"Arc":                  {Source: SourceAzureArc, Endpoint: endpoint, ArcKeyDirectory: keys},
		"Arc's keys elsewhere": {Source: SourceAzureArc, Endpoint: endpoint, ArcKeyDirectory: others},
	} {
		for range 2 {
			cred, err := NewManagedIdentityCredential(&o)
			require.NoError(t, err, name)
			all = append(all, cred)
			if other, ok := caches[cred.cache]; ok {
				require.Equal(t, name, other)
			}
			caches[cred.cache] = name
		}
	}
	require.Len(t, caches, len(all)/2)
	runtime.KeepAlive(all)
}
