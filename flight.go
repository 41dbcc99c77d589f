// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// flightDeadline limits a flight, provided that custom Transports and policies honor their context. It leaves
// room for the longest schedule, IMDS's (at most 128 s of pauses), and for slow responses in between.
const flightDeadline = 3 * time.Minute

// stuckAfter is when azhost gives up on a flight whose Transport or policy ignores its context. Callers
// get errStuck, and the next call starts another flight.
const stuckAfter = flightDeadline + 10*time.Second

// dyingWait is how long a caller waits for the refresh of a dying token. A healthy host responds in a
// fraction of that time.
const dyingWait = 2 * time.Second

// requester has what a flight needs from the credential that starts it.
type requester struct {
	fetch   func(ctx context.Context, w want) (azcore.AccessToken, error) // requests a token from the host; ctx has a progress
	log     *slog.Logger                                                  // nil if nothing is logged
	observe func(Event)                                                   // nil if there is no observer
	from    func() string                                                 // names the host in errors
	gate    *gate                                                         // of the host
}

// flight is one request for a token, shared by all callers that want it. It uses no caller's context.
// When the last caller leaves, it finishes the current attempt and makes no more.
type flight struct {
	// Written before other goroutines can see the flight.
	number   uint64        // in the order of starts
	claims   string        // of the caller; "" for an ordinary flight
	rejected string        // a token that a service rejected, or ""
	started  instant       // when it started
	done     chan struct{} // closed when the flight has finished
	progress progress
	*requester

	// Written by finish, before done is closed.
	token azcore.AccessToken
	err   error
	took  time.Duration
	pause time.Duration // until the next refresh, if the outcome is refreshFailed

	// Guarded by cache.mu.
	stop       context.CancelFunc // ends pauses and the wait for a slot, but not an attempt
	attempting bool               // an attempt is under way; it may return a token even if no caller waits
	outcome    outcome            // not written after done is closed
	waiters    int                // number of waiting callers; in a refresh, the cache counts as one
	background bool               // a refresh for which no caller waited when it started
	overtaken  bool               // a newer flight exists, so its token must not replace a valid one
	until      instant            // no call joins after this
}

// errNoResult is the error of a fetch that ended its goroutine with runtime.Goexit, as FailNow does if a test
// calls it in a policy.
var errNoResult error = failed(nil, nil, "a policy or Transport ended the goroutine of the request (runtime.Goexit)")

// errStuck is the error of a fetch that doesn't return.
var errStuck error = failed(nil, context.DeadlineExceeded, "a policy or Transport did not return within %s; it must honor its context", stuckAfter)

// errTooLong is the context's cause when a flight reaches its deadline.
var errTooLong = fmt.Errorf("no token within %s", flightDeadline)

// flight returns the flight that a call with claims joins, or nil. The caller holds cache.mu.
func (e *entry) flight(claims string, now instant) *flight {
	for _, f := range e.flights {
		if f.claims == claims && !f.until.reached(now) && !e.outdated(f) {
			return f
		}
	}
	return nil
}

// idle reports whether there is no flight that a call could join. The caller holds cache.mu.
func (e *entry) idle(now instant) bool {
	return !slices.ContainsFunc(e.flights, func(f *flight) bool { return !f.until.reached(now) })
}

// remove removes a flight, so that no call joins it. The caller holds cache.mu.
func (e *entry) remove(f *flight) {
	e.flights = slices.DeleteFunc(e.flights, func(other *flight) bool { return other == f })
}

// start starts a flight. The caller holds c.mu.
func (c *cache) start(e *entry, claims string, now instant, r *requester) *flight {
	c.flights++
	ctx, stop := context.WithTimeoutCause(context.Background(), flightDeadline, errTooLong)
	f := &flight{
		number: c.flights, claims: claims, started: now, done: make(chan struct{}), requester: r, stop: stop,
		until:    instant{wall: math.MaxInt64, mono: math.MaxInt64},
		progress: progress{cache: c, entry: e, ctx: ctx, journal: journal{log: r.log}},
	}
	f.progress.flight = f
	f.rejected = e.rejectedToken()
	if claims != "" {
		f.rejected = cmp.Or(e.state.token.Token, f.rejected)
	}
	e.flights = append(slices.DeleteFunc(e.flights, func(old *flight) bool { return old.until.reached(now) }), f)
	watchdog := time.AfterFunc(stuckAfter, func() { c.finish(e, f, azcore.AccessToken{}, errStuck) })
	go func() {
		defer stop()
		defer watchdog.Stop()
		c.run(withProgress(ctx, &f.progress), e, f)
	}()
	return f
}

// run fetches a token and finishes the flight, even if fetch panics or ends the goroutine.
func (c *cache) run(ctx context.Context, e *entry, f *flight) {
	growStack()
	var token azcore.AccessToken
	err := errNoResult
	defer func() { c.finish(e, f, token, err) }() // deferred first, so it runs last
	defer func() {
		if r := recover(); r != nil { // in a custom policy or Transport; the callers must not wait forever
			text := panicText(r)
			err = failed(nil, nil, "a policy or Transport panicked: %s", text)
			f.progress.journal.write(slog.LevelError, "azhost: panic while requesting a token", "panic", text, "stack", string(debug.Stack()))
		}
	}()
	token, err = f.fetch(ctx, want{
		resource: e.resource, rejected: f.rejected, fresh: f.claims != "" || f.rejected != "", revocable: c.revocable,
	})
}

// panicText formats the value of a panic, even if its Error or String method panics.
func panicText(r any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("%T", r)
		}
	}()
	return fmt.Sprint(r)
}

// growStack grows the stack once. azcore's pipeline and net/http need more than the few KiB that a goroutine
// begins with, and growing it in steps, which copies all frames each time, makes a fetch over loopback a
// tenth slower.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	runtime.KeepAlive(&room)
}

// begin reports whether a flight may make an attempt. It may not if its last caller has left.
func (c *cache) begin(e *entry, f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.attempting = slices.Contains(e.flights, f)
	return f.attempting
}

// end records that an attempt failed, and reports whether another one may follow because a caller still
// waits.
func (c *cache) end(e *entry, f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.attempting = false
	if f.waiters == 0 {
		e.remove(f)
	}
	return f.waiters > 0
}

// leave removes a caller whose context is done, and reports whether the flight was still running.
func (c *cache) leave(e *entry, f *flight) (left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.outcome != running {
		return false
	}
	if f.waiters--; f.waiters == 0 && !f.attempting {
		f.stop()
		e.remove(f)
	}
	return true
}
