// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/azhost/azhost/azhosttest"
)

// faultRate is the share of requests that get a fault.
const faultRate = 1.0 / 3

// faults are the ways in which a host fails, all equally often.
var faults = []struct {
	name  string
	fault azhosttest.Fault
}{
	{"429 with Retry-After", azhosttest.Throttled(time.Second)},
	{"429 without Retry-After", azhosttest.Throttled(0)},
	{"500 of the host", azhosttest.ServerError()},
	{"500 of another server", azhosttest.WireServer()},
	{"503 without a body", azhosttest.Fault{Status: http.StatusServiceUnavailable}},
	{"410", azhosttest.Updating()},
	{"404", azhosttest.Fault{Status: http.StatusNotFound, Body: `{"error":"not_found","error_description":"Updating"}`}},
	{"dropped connection", azhosttest.Fault{Drop: true}},
	{"cut body", azhosttest.Fault{Cut: true}},
	{"200 that is not a token", azhosttest.Fault{Body: `{"access_token":`}},
	{"200 without a token", azhosttest.Fault{Body: `{"token_type":"Bearer","expires_in":"20"}`}},
	{"200 with 1 MiB of blanks", azhosttest.Fault{Body: strings.Repeat(" ", 1<<20+1)}},
	{"HTML page", azhosttest.Portal()},
	{"redirect", azhosttest.Fault{Status: http.StatusFound, Header: http.Header{"Location": {"http://127.0.0.1:1/"}}}},
	{"slow response", azhosttest.Fault{Delay: 2 * time.Second}},
}

// fail makes a host fail a third of the time.
func fail(h *azhosttest.Host, f *figures, seed uint64) {
	h.SetTokenLifetime(tokenLifetime)
	var mu sync.Mutex // guards random
	random := rand.New(rand.NewPCG(seed, seed))
	h.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) {
		mu.Lock()
		failing, n := random.Float64() < faultRate, random.IntN(len(faults))
		mu.Unlock()
		if failing {
			f.fault(faults[n].name)
		}
		return faults[n].fault, failing
	})
}

// failKeys makes the agent's key files bad for a third of the time, until ctx is done.
func failKeys(ctx context.Context, arc *azhosttest.Arc, f *figures) {
	for phase := 0; ; phase++ {
		var bad azhosttest.KeyFault
		switch phase % 4 {
		case 0:
			f.fault("seconds of missing keys")
			bad = azhosttest.KeyMissing
		case 1:
			f.fault("seconds of empty keys")
			bad = azhosttest.KeyEmpty
		case 2:
			f.fault("seconds of late keys")
			bad = azhosttest.KeyLate
		case 3:
			f.fault("three refused keys")
			arc.RefuseKeys(3)
		}
		arc.SetKeyFault(bad)
		if !sleep(ctx, time.Second) {
			return
		}
		arc.SetKeyFault(azhosttest.KeyGood)
		if !sleep(ctx, 2*time.Second) {
			return
		}
	}
}

// restart stops a host for a second, twice a minute, until ctx is done.
func restart(ctx context.Context, h *azhosttest.Host, f *figures) {
	for sleep(ctx, 30*time.Second) {
		f.fault("seconds of refused connections")
		h.Stop()
		up := sleep(ctx, time.Second)
		if err := h.Start(); err != nil {
			f.fault("could not listen again: " + err.Error())
		}
		if !up {
			return
		}
	}
}

// sleep waits for d, and returns false if ctx is done first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
