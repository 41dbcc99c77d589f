// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/tracing"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
)

// lookup is a minimal cache. It reads the clock and looks up the resource in a map without a lock.
type lookup struct{ tokens sync.Map }

func (l *lookup) get(opts policy.TokenRequestOptions) azcore.AccessToken {
	token, _ := l.tokens.Load(opts.Scopes[0])
	if t := token.(*azcore.AccessToken); time.Now().Before(t.ExpiresOn) {
		return *t
	}
	return azcore.AccessToken{}
}

// BenchmarkParallelHit gets a cached token from one goroutine and from one per core, and reports the time
// per call.
func BenchmarkParallelHit(b *testing.B) {
	all := scopes("parallel", 1)
	l := floor(b, all)
	for _, callers := range slices.Compact([]int{1, runtime.GOMAXPROCS(0)}) {
		b.Run(fmt.Sprintf("callers=%d/floor", callers), func(b *testing.B) {
			parallel(b, callers, func() (azcore.AccessToken, error) { return l.get(all[0]), nil })
		})
		for _, peer := range peers {
			cred := filled(b, peer.fill(b), all)
			b.Run(fmt.Sprintf("callers=%d/%s", callers, peer.name), func(b *testing.B) {
				parallel(b, callers, func() (azcore.AccessToken, error) { return cred.GetToken(b.Context(), all[0]) })
			})
		}
	}
}

// parallel divides b.N calls among the callers, at least one each.
func parallel(b *testing.B, callers int, call func() (azcore.AccessToken, error)) {
	each := max(1, b.N/callers)
	var calling sync.WaitGroup
	for range callers {
		calling.Go(func() {
			for range each {
				if token, err := call(); err != nil || token.Token == "" {
					b.Error("no token:", err)
					return
				}
			}
		})
	}
	calling.Wait()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(each), "ns/call")
}

// BenchmarkHit gets a cached token from a cache with as many tokens as the name says. This file's
// benchmarks run first, because azidentity's cache belongs to the process and would hold more tokens later.
func BenchmarkHit(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1_000, 10_000} {
		all := scopes("hit", n)
		b.Run(fmt.Sprintf("resources=%d/floor", n), func(b *testing.B) {
			l := floor(b, all)
			for i := 0; b.Loop(); i++ {
				if l.get(all[i%n]).Token == "" {
					b.Fatal("no token")
				}
			}
		})
		for _, peer := range peers {
			cred := filled(b, peer.fill(b), all)
			b.Run(fmt.Sprintf("resources=%d/%s", n, peer.name), func(b *testing.B) { hits(b, cred, all) })
		}
	}
}

// BenchmarkHitObserved gets a cached token from a credential with Observe and a Logger, which a hit doesn't
// call.
func BenchmarkHitObserved(b *testing.B) {
	all := scopes("observed", 1)
	l := floor(b, all)
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			if l.get(all[0]).Token == "" {
				b.Fatal("no token")
			}
		}
	})
	cred := filled(b, unpaced(b, func(azhost.Event) {}), all)
	b.Run("azhost", func(b *testing.B) { hits(b, cred, all) })
}

// BenchmarkHitTraced gets a cached token with a TracingProvider, which starts a span for each call.
func BenchmarkHitTraced(b *testing.B) {
	all := scopes("traced", 1)
	provider := tracing.NewProvider(func(string, string) tracing.Tracer {
		return tracing.NewTracer(func(ctx context.Context, _ string, _ *tracing.SpanOptions) (context.Context, tracing.Span) {
			return ctx, tracing.NewSpan(tracing.SpanImpl{})
		}, nil)
	}, nil)
	traced := policy.ClientOptions{Transport: memory{}, TracingProvider: provider}
	ours, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{ClientOptions: traced})
	check(b, err)
	theirs, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: traced})
	check(b, err)
	for i, cred := range []azcore.TokenCredential{ours, theirs} {
		filled(b, cred, all)
		b.Run(peers[i].name, func(b *testing.B) { hits(b, cred, all) })
	}
}

func hits(b *testing.B, cred azcore.TokenCredential, all []policy.TokenRequestOptions) {
	for i := 0; b.Loop(); i++ {
		token, err := cred.GetToken(b.Context(), all[i%len(all)])
		if err != nil || token.Token == "" {
			b.Fatal(err)
		}
	}
}

// BenchmarkUse creates a credential, gets a cached token, and drops the credential, as programs do that
// create one for every connection or call.
func BenchmarkUse(b *testing.B) {
	client, opts := loopback(b, newIMDS(b)), scopes("use", 1)[0]
	for _, peer := range peers {
		_, err := peer.make(b, client).GetToken(b.Context(), opts)
		check(b, err)
		b.Run(peer.name, func(b *testing.B) {
			for b.Loop() {
				token, err := peer.make(b, client).GetToken(b.Context(), opts)
				if err != nil || token.Token == "" {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHealth iterates over the state of 10,000 resources. The floor iterates over a map of the same
// size.
func BenchmarkHealth(b *testing.B) {
	const n = 10_000
	all := scopes("health", n)
	l, cred := floor(b, all), unpaced(b, nil)
	filled(b, cred, all)
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			seen := 0
			l.tokens.Range(func(_, token any) bool {
				if token.(*azcore.AccessToken).ExpiresOn.IsZero() {
					b.Fatal("no token")
				}
				seen++
				return true
			})
			if seen != n {
				b.Fatal(seen)
			}
		}
	})
	b.Run("azhost", func(b *testing.B) {
		for b.Loop() {
			seen := 0
			for h := range cred.Health() {
				if h.ExpiresOn.IsZero() {
					b.Fatal("no token")
				}
				seen++
			}
			if seen != n {
				b.Fatal(seen)
			}
		}
	})
}

// floor returns a lookup whose tokens were allocated one request after another, so that their memory layout
// is that of the libraries.
func floor(t testing.TB, all []policy.TokenRequestOptions) *lookup {
	var l lookup
	cred := unpaced(t, nil)
	for _, opts := range all {
		token, err := cred.GetToken(t.Context(), opts)
		check(t, err)
		// The key is a copy, because callers don't pass the very string that the cache was filled with.
		l.tokens.Store(strings.Clone(opts.Scopes[0]), &token)
	}
	return &l
}

// filled returns cred once it has cached all tokens.
func filled(t testing.TB, cred azcore.TokenCredential, all []policy.TokenRequestOptions) azcore.TokenCredential {
	for _, opts := range all {
		_, err := cred.GetToken(t.Context(), opts)
		check(t, err)
	}
	return cred
}
