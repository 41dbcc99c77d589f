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

// figures are what is counted for one host.
type figures struct {
	name string

	calls, errors, tokens, requests   atomic.Int64
	errorsWhileHeld, expired, foreign atomic.Int64 // violations
	longest, longestHeld              atomic.Int64 // in nanoseconds, of calls without and with a valid token

	mu     sync.Mutex // guards faults
	faults map[string]int
}

func newFigures(name string) *figures { return &figures{name: name, faults: map[string]int{}} }

// fault counts one.
func (f *figures) fault(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[name]++
}

// violate counts what may never happen, and describes the first few.
func (f *figures) violate(counter *atomic.Int64, format string, args ...any) {
	if counter.Add(1) <= 5 {
		fmt.Fprintf(os.Stderr, "VIOLATION on %s: %s\n", f.name, fmt.Sprintf(format, args...))
	}
}

// print reports whether nothing happened that may never happen.
func (f *figures) print() bool {
	row := func(what string, value any) { fmt.Printf("%-44s %12v\n", what, value) }
	fmt.Printf("\n%s\n", f.name)
	row("  calls", f.calls.Load())
	row("  requests to the host", f.requests.Load())
	row("  different tokens returned", f.tokens.Load())
	row("  errors with no valid token held", f.errors.Load()-f.errorsWhileHeld.Load())
	row("  longest call without a valid token", time.Duration(f.longest.Load()).Round(time.Millisecond))
	row("  longest call with one", time.Duration(f.longestHeld.Load()).Round(time.Microsecond))
	row("  ERRORS WITH A VALID TOKEN HELD", f.errorsWhileHeld.Load())
	row("  EXPIRED TOKENS RETURNED", f.expired.Load())
	row("  TOKENS OF ANOTHER RESOURCE OR HOST", f.foreign.Load())
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(f.faults)) {
		row("  fault: "+name, f.faults[name])
	}
	return f.errorsWhileHeld.Load() == 0 && f.expired.Load() == 0 && f.foreign.Load() == 0 && f.tokens.Load() > 0
}
