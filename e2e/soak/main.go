// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command soak calls azhost for minutes, over loopback, against an IMDS and an Arc agent that fail a third of
// the time. Half of the calls create their own credential, with garbage collections in between. soak checks
// for what must never happen: an error while the process holds a valid token; an expired token; a token for
// another resource; more than 20 requests to IMDS in a second; and goroutines, descriptors, or memory left
// behind. It prints a table of figures, and exits with 1 if any of these happened.
//
//	go run ./soak -for 10m
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

const (
	resources     = 50
	tokenLifetime = 20 * time.Second
)

func main() {
	duration := flag.Duration("for", 10*time.Minute, "how long to run")
	goroutines := flag.Int("goroutines", 200, "number of concurrent callers")
	seed := flag.Uint64("seed", 1, "seed of the random faults")
	flag.Parse()
	ok, err := soak(*duration, *goroutines, *seed)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// soak measures the process before and after a run, and reports whether nothing went wrong.
func soak(duration time.Duration, goroutines int, seed uint64) (bool, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	before, err := measureIdle()
	if err != nil {
		return false, err
	}
	fmt.Printf("%d callers, %d resources, tokens of %s, for %s, seed %d\n\n", goroutines, resources, tokenLifetime, duration, seed)
	start := time.Now()
	lateness := watch(ctx)
	figures, err := run(ctx, duration, goroutines, seed)
	if err != nil {
		return false, err
	}
	elapsed, late := time.Since(start), lateness()
	after, err := settle(before)
	if err != nil {
		return false, err
	}
	fmt.Printf("%-44s %12s\n", "ran for", elapsed.Round(time.Second))
	fmt.Printf("%-44s %12s\n", "longest delay of a 10 ms timer", late.Round(time.Millisecond))
	wellBehaved := true
	for _, f := range figures {
		wellBehaved = f.print() && wellBehaved
	}
	nothingLeft := after.print(before)
	if !wellBehaved || !nothingLeft {
		fmt.Println("\nFAILED")
		if !nothingLeft {
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		}
		return false, nil
	}
	fmt.Println("\nok")
	return true, nil
}

// run starts callers on both hosts. When it returns, everything has been closed.
func run(ctx context.Context, duration time.Duration, goroutines int, seed uint64) ([]*figures, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer vm.Close()
	arc, err := azhosttest.ListenArc("127.0.0.1:0", "")
	if err != nil {
		return nil, err
	}
	defer arc.Close()

	// The transport is the library's own, because it is under test too.
	onVM, err := newTarget("Azure VM", &vm.Host, &azhost.ManagedIdentityCredentialOptions{
		Source: azhost.SourceIMDS, Endpoint: vm.Endpoint(),
	})
	if err != nil {
		return nil, err
	}
	onArc, err := newTarget("Azure Arc", &arc.Host, &azhost.ManagedIdentityCredentialOptions{
		Source: azhost.SourceAzureArc, Endpoint: arc.Endpoint(), ArcKeyDirectory: arc.KeyDirectory(),
	})
	if err != nil {
		return nil, err
	}
	vm.OnRequest(func(r azhosttest.Request) { onVM.request(r.Time, 20) })
	arc.OnRequest(func(r azhosttest.Request) { onArc.request(r.Time, 0) })
	// Before the first response from IMDS, a fault would count as a foreign response.
	if err := onVM.first(ctx); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	var all sync.WaitGroup
	fail(&vm.Host, onVM.figures, seed)
	fail(&arc.Host, onArc.figures, seed+1)
	all.Go(func() { failKeys(ctx, arc, onArc.figures) })
	all.Go(func() { // collects what only unused credentials refer to
		for sleep(ctx, time.Second) {
			runtime.GC()
		}
	})
	for _, t := range []*target{onVM, onArc} {
		all.Go(func() { restart(ctx, t.host, t.figures) })
		for n := range goroutines / 2 {
			all.Go(func() { t.call(ctx, seed+uint64(n)) })
		}
	}
	all.Wait()
	return []*figures{onVM.figures, onArc.figures}, nil
}
