// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// counted answers after the time that a host may take which must ask Microsoft Entra itself.
type counted struct{ requests atomic.Int64 }

func (c *counted) Do(req *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	time.Sleep(100 * time.Millisecond)
	return memory{}.Do(req)
}

// BenchmarkHerd lets 1,000 goroutines ask at once for a token that is not cached.
func BenchmarkHerd(b *testing.B) {
	for _, peer := range peers {
		b.Run(peer.name, func(b *testing.B) {
			var host counted
			all := scopes("herd", 10_000)
			cred := peer.make(b, &host)
			n := 0
			for b.Loop() {
				herd(b, cred, all[herds%len(all)])
				herds++
				n++
			}
			b.ReportMetric(float64(host.requests.Load())/float64(n), "requests/herd")
		})
	}
}

// herds counts the herds so far: azidentity's cache is one for the whole process, so each needs a
// resource of its own.
var herds int

func herd(b *testing.B, cred azcore.TokenCredential, opts policy.TokenRequestOptions) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for range 1000 {
		all.Go(func() {
			<-start
			if _, err := cred.GetToken(b.Context(), opts); err != nil {
				b.Error(err)
			}
		})
	}
	close(start)
	all.Wait()
}

// BenchmarkMemory reports how much memory a cached token takes beyond its own length, the part
// included by which Go rounds up the allocation of the token's string.
func BenchmarkMemory(b *testing.B) {
	const n = 1_000
	for _, peer := range peers {
		b.Run(peer.name, func(b *testing.B) {
			var beyond, rounds float64
			for b.Loop() {
				memories++
				all := scopes(fmt.Sprint("memory-", memories), n)
				cred := filled(b, peer.fill(b), scopes("warm", 1))
				before := heap()
				filled(b, cred, all)
				beyond += float64(heap()-before)/n - float64(len(bearer))
				rounds++
				runtime.KeepAlive(all)
				runtime.KeepAlive(cred)
			}
			b.ReportMetric(beyond/rounds, "B/token")
		})
	}
}

// memories counts the rounds so far, as herds does.
var memories int

func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
