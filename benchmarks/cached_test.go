// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

// lookup is a cache that does nothing but what every cache must: it reads the clock and looks the
// resource up in a map that needs no lock to be read.
type lookup struct{ tokens sync.Map }

func (l *lookup) get(opts policy.TokenRequestOptions) azcore.AccessToken {
	token, _ := l.tokens.Load(opts.Scopes[0])
	if t := token.(*azcore.AccessToken); time.Now().Before(t.ExpiresOn) {
		return *t
	}
	return azcore.AccessToken{}
}

// BenchmarkParallelHit asks for one cached token from one goroutine and from as many as there are
// cores, and reports how long a call of each takes.
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

// parallel shares out b.N calls, at least one to each caller.
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

// BenchmarkHit asks for a cached token, among as many as the name says. This file is the first to
// run, so that azidentity's cache, which the process has one of, holds no more than that.
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

// BenchmarkHitObserved asks for a cached token with a credential whose requests are observed and
// logged, of which a hit is none.
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

func hits(b *testing.B, cred azcore.TokenCredential, all []policy.TokenRequestOptions) {
	for i := 0; b.Loop(); i++ {
		token, err := cred.GetToken(b.Context(), all[i%len(all)])
		if err != nil || token.Token == "" {
			b.Fatal(err)
		}
	}
}

// BenchmarkUse makes a credential, asks it for a token that is cached, and drops it, as programs do
// that make one for every connection or call.
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

// BenchmarkHealth walks through the state of 10,000 resources; the floor, through a map of as many.
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

// floor returns a lookup whose tokens arrived as those of the libraries do, one request after the
// other, and lie in memory accordingly.
func floor(t testing.TB, all []policy.TokenRequestOptions) *lookup {
	var l lookup
	cred := unpaced(t, nil)
	for _, opts := range all {
		token, err := cred.GetToken(t.Context(), opts)
		check(t, err)
		// The key is a copy: a cache is not asked with the very string that it was filled with.
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
