// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// figures has the counts for one host.
type figures struct {
	name string

	calls, credentials, tokens, requests            atomic.Int64
	errors, errorsDying                             atomic.Int64 // all errors, and those whose token expired during the call
	errorsWhileHeld, expired, foreign, unmade, fast atomic.Int64 // violations
	longest, longestDying, longestHeld              atomic.Int64 // in nanoseconds; calls without a valid token, with a dying one, and with any other

	mu     sync.Mutex // guards the fields below
	faults map[string]int
	recent []time.Time // when the requests of the last second arrived
	rate   int         // the most requests in any second
}

func newFigures(name string) *figures { return &figures{name: name, faults: map[string]int{}} }

// fault counts a fault.
func (f *figures) fault(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[name]++
}

// request counts a request to a host. More than limit in any second is a violation; 0 means no limit.
func (f *figures) request(at time.Time, limit int) {
	f.mu.Lock()
	f.recent = append(slices.DeleteFunc(f.recent, func(old time.Time) bool { return at.Sub(old) >= time.Second }), at)
	n := len(f.recent)
	f.rate = max(f.rate, n)
	f.mu.Unlock()
	f.requests.Add(1)
	if limit > 0 && n > limit {
		f.violate(&f.fast, "%d requests in a second", n)
	}
}

// violate counts what must never happen, and describes the first few.
func (f *figures) violate(counter *atomic.Int64, format string, args ...any) {
	if counter.Add(1) <= 5 {
		fmt.Fprintf(os.Stderr, "VIOLATION on %s: %s\n", f.name, fmt.Sprintf(format, args...))
	}
}

// print prints the figures, and reports whether there were tokens and no violations.
func (f *figures) print() bool {
	row := func(what string, value any) { fmt.Printf("%-44s %12v\n", what, value) }
	fmt.Printf("\n%s\n", f.name)
	row("  calls", f.calls.Load())
	row("  credentials made for one call", f.credentials.Load())
	row("  requests to the host", f.requests.Load())
	row("  different tokens returned", f.tokens.Load())
	row("  errors with no valid token held", f.errors.Load()-f.errorsWhileHeld.Load())
	row("  of them with one when the call began", f.errorsDying.Load())
	row("  longest call without a valid token", time.Duration(f.longest.Load()).Round(time.Millisecond))
	row("  longest call with one in its last tenth", time.Duration(f.longestDying.Load()).Round(time.Millisecond))
	row("  longest call with one before that", time.Duration(f.longestHeld.Load()).Round(time.Microsecond))
	row("  ERRORS WITH A VALID TOKEN HELD", f.errorsWhileHeld.Load())
	row("  EXPIRED TOKENS RETURNED", f.expired.Load())
	row("  TOKENS OF ANOTHER RESOURCE OR HOST", f.foreign.Load())
	f.mu.Lock()
	defer f.mu.Unlock()
	row("  most requests in a second", f.rate)
	for _, name := range slices.Sorted(maps.Keys(f.faults)) {
		row("  fault: "+name, f.faults[name])
	}
	violations := f.errorsWhileHeld.Load() + f.expired.Load() + f.foreign.Load() + f.unmade.Load() + f.fast.Load()
	return violations == 0 && f.tokens.Load() > 0
}
