// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
)

// TestSharedCacheOutlivesItsCredentials checks that a program that creates a credential for every use sends
// one request, and gets the cached token while the host is down.
func TestSharedCacheOutlivesItsCredentials(t *testing.T) {
	for name, transport := range map[string]policy.Transporter{"no Transport": nil, "one client": new(http.Client)} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				w.Header().Set("Server", "IMDS/1.0")
				_, _ = fmt.Fprint(w, `{"access_token":"a.b.c","expires_in":"3600"}`)
			}))
			defer host.Close()
			endpoint := host.URL + "/outlives/" + rand.Text()
			use := func() {
				o := ManagedIdentityCredentialOptions{Source: SourceIMDS, Endpoint: endpoint}
				o.Transport = transport
				cred, err := NewManagedIdentityCredential(&o)
				require.NoError(t, err)
				token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"r"}})
				require.NoError(t, err)
				require.Equal(t, "a.b.c", token.Token)
			}
			for range 50 {
				use()
				runtime.GC()
				runtime.GC()
			}
			require.EqualValues(t, 1, asked.Load())
			host.Close()
			for range 100 {
				use()
			}
			require.EqualValues(t, 1, asked.Load())
		})
	}
}

// TestAtMostThousandIdentities checks that useless caches are dropped first, then any, and that a
// credential keeps a cache that was dropped.
func TestAtMostThousandIdentities(t *testing.T) {
	endpoint := "http://127.0.0.1:1/" + rand.Text() // nothing is sent there
	build := func(n int) *ManagedIdentityCredential {
		cred, err := NewManagedIdentityCredential(&ManagedIdentityCredentialOptions{
			Source: SourceIMDS, Endpoint: endpoint, ID: ClientID(fmt.Sprint(n)),
		})
		require.NoError(t, err)
		require.LessOrEqual(t, len(shared.caches.values), maxShared)
		return cred
	}
	t.Cleanup(func() {
		maps.DeleteFunc(shared.caches.values, func(id identity, _ *cache) bool { return id.endpoint == endpoint })
	})
	fill := func(cred *ManagedIdentityCredential) {
		_, err := cred.cache.get(t.Context(), "r", "", from(func(context.Context) (azcore.AccessToken, error) {
			return azcore.AccessToken{Token: "of this identity", ExpiresOn: time.Now().Add(time.Hour)}, nil
		}))
		require.NoError(t, err)
	}
	first := build(0)
	fill(first)
	for n := range 3 * maxShared { // useless
		build(1 + n)
	}
	require.Same(t, first.cache, build(0).cache, "dropped although there were useless caches")
	held := []*ManagedIdentityCredential{first}
	for n := range maxShared + 10 {
		cred := build(-1 - n)
		fill(cred)
		held = append(held, cred)
	}
	gone := 0
	for n, cred := range held {
		if build(-n).cache != cred.cache {
			gone++
		}
		token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"r"}})
		require.NoError(t, err)
		require.Equal(t, "of this identity", token.Token)
	}
	require.NotZero(t, gone)
}

func TestRegistryIsBounded(t *testing.T) {
	used := map[*int]bool{}
	r := registry[int, int]{useless: func(v *int) bool { return !used[v] }}
	create := func() *int { return new(int) }
	kept := r.get(-1, create)
	used[kept] = true
	for n := range 3 * maxShared {
		require.Same(t, r.get(n, create), r.get(n, create))
		require.LessOrEqual(t, len(r.values), maxShared)
	}
	require.Same(t, kept, r.get(-1, create), "dropped, although it was of use and there was room")
	for n := range 3 * maxShared { // nothing is useless
		used[r.get(-2-n, create)] = true
		require.LessOrEqual(t, len(r.values), maxShared)
	}
}

// TestRegistrySweepsWhenFull checks that a value that is useless now stays until room is needed, and that a
// tenth is free afterward.
func TestRegistrySweepsWhenFull(t *testing.T) {
	useless := true
	r := registry[int, int]{useless: func(*int) bool { return useless }}
	create := func() *int { return new(int) }
	first := r.get(0, create)
	for n := range maxShared {
		r.get(n, create)
	}
	require.Same(t, first, r.get(0, create))
	useless = false
	r.get(maxShared, create)
	require.Len(t, r.values, maxShared*9/10+1)
}

// nothing is a Transport of size zero. All pointers to such values may be equal.
type nothing struct{}

func (*nothing) Do(*http.Request) (*http.Response, error) { return nil, nil }

func TestDistinct(t *testing.T) {
	require.True(t, distinct(nil))
	require.True(t, distinct(&http.Client{}))
	require.False(t, distinct(&nothing{}))
}

// TestUselessCache checks that a cache with a valid token, a flight, or a recent failure isn't useless.
func TestUselessCache(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		require.False(t, r.useless())
		time.Sleep(time.Hour)
		r.set(func() { r.takes, r.down = time.Minute, errors.New("down") })
		go r.want(t.Context(), "r", "")
		synctest.Wait()
		require.False(t, r.useless())
		time.Sleep(time.Minute)
		require.False(t, r.useless())
		time.Sleep(sweepEvery)
		require.True(t, r.useless())
	})
}

// TestSeparateCaches checks that credentials that may get different tokens, or get them in another way,
// don't share a cache.
func TestSeparateCaches(t *testing.T) {
	for _, name := range []string{"IDENTITY_HEADER", "MSI_SECRET"} {
		t.Setenv(name, "secret")
	}
	const endpoint, id = "http://127.0.0.1:1/token", "6a8a3b3e-6bd3-4f4e-8c1d-6f0f3f4a2d11"
	t.Setenv("IDENTITY_ENDPOINT", endpoint)
	t.Setenv("IMDS_ENDPOINT", "")
	keys, others := t.TempDir(), t.TempDir()
	var all []*ManagedIdentityCredential
	caches := map[*cache]string{}
	for name, o := range map[string]ManagedIdentityCredentialOptions{
		"IMDS":                 {Source: SourceIMDS},
		"another endpoint":     {Source: SourceIMDS, Endpoint: endpoint},
		"one more":             {Source: SourceIMDS, Endpoint: endpoint + "2"},
		"client ID":            {Source: SourceIMDS, Endpoint: endpoint, ID: ClientID(id)},
		"object ID":            {Source: SourceIMDS, Endpoint: endpoint, ID: ObjectID(id)},
		"resource ID":          {Source: SourceIMDS, Endpoint: endpoint, ID: ResourceID("/subscriptions/" + id)},
		"another client ID":    {Source: SourceIMDS, Endpoint: endpoint, ID: ClientID("other")},
		"App Service":          {Source: SourceAppService, Endpoint: endpoint},
		"the variable's":       {Source: SourceAppService},
		"Azure ML":             {Source: SourceAzureML, Endpoint: endpoint},
		"Arc":                  {Source: SourceAzureArc, Endpoint: endpoint, ArcKeyDirectory: keys},
		"fewer retries":        {Source: SourceIMDS, ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{MaxRetries: 1}}},
		"longer attempts":      {Source: SourceIMDS, ClientOptions: azcore.ClientOptions{Retry: policy.RetryOptions{TryTimeout: time.Hour}}},
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
}
