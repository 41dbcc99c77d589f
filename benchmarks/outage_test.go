// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"flag"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost/azhosttest"
)

var update = flag.Bool("update", false, "write ../docs/outage.svg")

// The picture shows three days with 24-hour tokens. IMDS refuses connections twice: once for less, and once
// for more time than azhost can bridge with a cached token.
const (
	life  = 24 * time.Hour
	until = 60 * time.Hour
	every = 2 * time.Minute // between calls, each of which waits for its result
)

// absence is a period in which IMDS is down.
type absence struct{ begin, end time.Duration }

var absences = []absence{{20 * time.Hour, 30 * time.Hour}, {34 * time.Hour, 56 * time.Hour}}

// call is one call of GetToken.
type call struct {
	at, took time.Duration
	err      error
}

// TestOutage runs both libraries through the absences in a testing/synctest bubble, where hours take no
// time, and checks what README.md says about the picture. This command draws it:
//
//	go test -run Outage -update .
func TestOutage(t *testing.T) {
	calls := map[string][]call{}
	synctest.Test(t, func(t *testing.T) {
		for _, peer := range peers {
			vm := azhosttest.NewVM(t)
			vm.SetTokenLifetime(life)
			calls[peer.name] = suffer(t, vm, peer.make(t, vm))
		}
	})
	first, second := absences[0], absences[1]
	// azhost's last token arrives when the host is back, after a pause of at most six minutes.
	expires, expired := first.end+life-time.Minute, first.end+life+6*time.Minute
	recovered := second.end + 2*every // an earlier request may still be in a pause
	for _, c := range calls["azhost"] {
		switch {
		case (c.at < expires || c.at >= recovered) && (c.err != nil || c.took > 0):
			t.Errorf("azhost: the call after %s took %s: %v", c.at, c.took, c.err)
		case c.at >= expired && c.at+c.took < second.end && c.err == nil:
			t.Errorf("azhost: the call after %s returned a token, which has expired", c.at)
		}
	}
	failed := 0
	for _, c := range calls["azidentity"] {
		if c.err != nil && c.at < first.end {
			failed++
		}
	}
	if failed == 0 {
		t.Error("azidentity: no call failed in the first absence")
	}
	if *update {
		check(t, os.MkdirAll("../docs", 0o755))
		file, err := os.Create("../docs/outage.svg")
		check(t, err)
		check(t, picture(file, calls["azidentity"], calls["azhost"]))
		check(t, file.Close())
	}
}

// suffer calls a credential while its host goes down and comes back.
func suffer(t *testing.T, vm *azhosttest.VM, cred azcore.TokenCredential) []call {
	var mu sync.Mutex // guards calls
	var calls []call
	var callers sync.WaitGroup
	opts, start := scopes("outage", 1)[0], time.Now()
	for at := time.Duration(0); at < until; at += every {
		time.Sleep(time.Until(start.Add(at)))
		for _, a := range absences {
			switch at {
			case a.begin:
				vm.Stop()
			case a.end:
				check(t, vm.Start())
			}
		}
		callers.Go(func() {
			begin := time.Now()
			_, err := cred.GetToken(t.Context(), opts)
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, call{begin.Sub(start), time.Since(begin), err})
		})
	}
	callers.Wait()
	time.Sleep(5 * time.Minute) // a bubble waits for its goroutines, and some requests may still be running
	slices.SortFunc(calls, func(a, b call) int { return cmp.Compare(a.at, b.at) })
	return calls
}
