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
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// counted responds after the delay of a host that must get the token from Microsoft Entra.
type counted struct{ requests atomic.Int64 }

func (c *counted) Do(req *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	time.Sleep(100 * time.Millisecond)
	return memory{}.Do(req)
}

// BenchmarkHerd lets 1,000 goroutines request an uncached token at once.
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

// herds counts the herds. Each uses a new resource, because azidentity's cache belongs to the process.
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

// BenchmarkHerdThroughClients lets 1,000 goroutines send a request each through Azure SDK clients that
// share a credential without a cached token. Each client's bearer token policy has a separate token cache
// and requests a token once.
func BenchmarkHerdThroughClients(b *testing.B) {
	for _, n := range []int{1, 20} {
		for _, peer := range peers {
			b.Run(fmt.Sprintf("clients=%d/%s", n, peer.name), func(b *testing.B) {
				var host counted
				all := scopes(fmt.Sprint("clients-", n), 10_000)
				cred := peer.make(b, &host)
				rounds := 0
				for b.Loop() {
					clients := make([]azruntime.Pipeline, n)
					for i := range clients {
						clients[i] = newClient(cred, all[herds%len(all)].Scopes)
					}
					herds++
					rounds++
					var callers sync.WaitGroup
					for i := range 1000 {
						callers.Go(func() { use(b, clients[i%n]) })
					}
					callers.Wait()
				}
				b.ReportMetric(float64(host.requests.Load())/float64(rounds), "requests/herd")
			})
		}
	}
}

// newClient returns the pipeline of an Azure SDK client. Its service accepts every request.
func newClient(cred azcore.TokenCredential, scopes []string) azruntime.Pipeline {
	return azruntime.NewPipeline("benchmarks", "v0.1.0", azruntime.PipelineOptions{
		PerRetry: []policy.Policy{azruntime.NewBearerTokenPolicy(cred, scopes, nil)},
	}, &policy.ClientOptions{Transport: memory{}})
}

func use(b *testing.B, client azruntime.Pipeline) {
	req, err := azruntime.NewRequest(b.Context(), http.MethodGet, "https://service.example")
	if err == nil {
		_, err = client.Do(req)
	}
	if err != nil {
		b.Error(err)
	}
}

// BenchmarkMemory reports how much memory a cached token takes beyond its length, including the rounding of
// the string's allocation.
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

// memories counts the rounds, as herds does.
var memories int

func heap() int64 {
	runtime.GC()
	runtime.GC() // frees what finalizers released in the first collection
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
