// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// flightDeadline ends a flight, provided that the caller's own Transport and policies heed their
// context. It leaves room for the longest schedule, IMDS's (at most 128 s of pauses), and for slow
// answers in between.
const flightDeadline = 3 * time.Minute

// abandonedAfter is when a flight that has not landed is held to be stuck in a transport that does
// not heed its context: long enough after the deadline for any other to land first.
const abandonedAfter = flightDeadline + 10*time.Second

// dyingWait is how long a caller waits for the refresh of a dying token. A host that is well answers
// in a fraction of it.
const dyingWait = 2 * time.Second

// fetchFunc asks the host for a token other than refused, which is "" where none was.
type fetchFunc func(ctx context.Context, resource, refused string) (azcore.AccessToken, error)

// flight is one request for a token, shared by all who want it. It takes nothing from its callers,
// and is cancelled when the last of them has left.
type flight struct {
	number  uint64        // order of take-off; written before the flight is visible, as are the next four
	claims  string        // "" for an ordinary flight
	refused string        // with claims: the token that was cached at take-off, "" if none was
	started instant       // when it took off
	done    chan struct{} // closed when the flight has landed

	// Written by the flight, before done is closed.
	token azcore.AccessToken
	err   error
	took  time.Duration
	pause time.Duration // after refreshFailed, until the next refresh

	// Guarded by cache.mu.
	cancel    context.CancelFunc
	outcome   outcome // not written after done is closed
	waiters   int     // callers waiting; for a refresh the cache is one, which never leaves
	overtaken bool    // an answer to newer claims has landed: its token replaces no valid one
	until     instant // from here on no call joins it
}

// outcome is how a flight has ended.
type outcome int

const (
	running       outcome = iota // it has not
	tokenAcquired                // with a token
	noToken                      // with an error, for its waiters and for the calls of the next second
	refreshFailed                // with an error, but the cached token is still valid
	ignored                      // with an error, but every caller has left, or a newer token is cached
)

// errNoResult is the result of a fetch that ended its goroutine with runtime.Goexit, as a test's
// FailNow does when it is called in a policy.
var errNoResult error = failed(nil, nil, "the request's goroutine was ended by a policy or transport")

// errTooLong is the cause of a flight's end by its own deadline.
var errTooLong = fmt.Errorf("no token within %s", flightDeadline)

// flight returns the flight that a call with claims joins, nil if there is none. The caller holds
// cache.mu, as do those of idle and renewIn.
func (e *entry) flight(claims string, now instant) *flight {
	for _, f := range e.flights {
		if f.claims == claims && !f.until.reached(now) {
			return f
		}
	}
	return nil
}

// idle reports whether there is no flight that a call could join.
func (e *entry) idle(now instant) bool {
	return !slices.ContainsFunc(e.flights, func(f *flight) bool { return !f.until.reached(now) })
}

// renewIn returns s with its next refresh d after now, or at its expiry.
func (s *state) renewIn(d time.Duration, now instant) *state {
	own := *s
	own.renew = earlier(now.add(d), s.expiry)
	return &own
}

// start starts a flight. The caller holds c.mu.
func (c *cache) start(e *entry, claims string, now instant, fetch fetchFunc, log *slog.Logger) *flight {
	c.flights++
	ctx, cancel := context.WithTimeoutCause(context.Background(), flightDeadline, errTooLong)
	f := &flight{number: c.flights, claims: claims, started: now, done: make(chan struct{}), cancel: cancel}
	// By the monotonic clock alone, as the context's timer.
	f.until = instant{wall: math.MaxInt64, mono: now.add(abandonedAfter).mono}
	if claims != "" {
		f.refused = e.state.token.Token
	}
	e.flights = append(slices.DeleteFunc(e.flights, func(old *flight) bool { return old.until.reached(now) }), f)
	go c.run(ctx, e, f, fetch, log)
	return f
}

// fly fetches and lands, whatever fetch does.
func (c *cache) run(ctx context.Context, e *entry, f *flight, fetch fetchFunc, log *slog.Logger) {
	growStack()
	defer f.cancel()
	f.err = errNoResult
	defer func() {
		if r := recover(); r != nil { // a caller's policy panicked; the callers must not wait for ever
			f.err = failed(nil, nil, "panic while requesting a token: %v\n%s", r, debug.Stack())
		}
		c.finish(e, f)
		defer func() { _ = recover() }() // no program can guard this goroutine against its handler's bugs
		f.report(ctx, log, e.resource)
	}()
	f.token, f.err = fetch(ctx, e.resource, f.refused)
}

// growStack makes room for the calls of azcore's pipeline and net/http at once. They need more than
// the few KiB that a goroutine begins with; growing bit by bit, which copies all frames each time,
// makes a whole fetch over loopback a tenth slower.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	runtime.KeepAlive(&room)
}

// land publishes what a flight has come to.
func (c *cache) finish(e *entry, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	now := time.Now()
	at := c.at(now)
	f.took = time.Duration(at.mono - f.started.mono)
	f.overtaken = f.overtaken || !slices.Contains(e.flights, f)
	e.landed = at
	if f.err != nil {
		f.until = at.add(forget(rand.Float64()))
		f.outcome = c.keepFailure(e, f, at)
	} else {
		f.outcome = tokenAcquired
		c.keepToken(e, f, now, at)
	}
	if c.swept.add(sweepEvery).reached(at) {
		c.sweep(at)
	}
}

// keepToken stores a flight's token, unless a newer one is cached. The caller holds c.mu.
func (c *cache) keepToken(e *entry, f *flight, now time.Time, at instant) {
	var renew, dying, life time.Duration
	f.token, renew, dying, life = scheduled(f.token, now, rand.Float64())
	// The host is well: what failed a moment ago may be tried again.
	e.flights = slices.DeleteFunc(e.flights, func(old *flight) bool { return old == f || old.outcome != running })
	if f.overtaken && e.state.valid(at) {
		return
	}
	if f.claims != "" { // no ordinary flight that is under way knows better, nor one with older claims
		for _, other := range e.flights {
			other.overtaken = other.overtaken || other.claims == "" || other.number < f.number
		}
	}
	c.store(e, &state{token: f.token, renew: at.add(renew), dying: at.add(dying), expiry: at.add(life), acquired: now})
}

// keepFailure lets the token that a refresh was to replace live on. The caller holds c.mu.
func (c *cache) keepFailure(e *entry, f *flight, at instant) outcome {
	if f.waiters == 0 {
		return ignored
	}
	if f.claims != "" {
		return noToken
	}
	valid := e.state.valid(at)
	if valid && f.overtaken {
		return ignored
	}
	s := *e.state
	s.failures++
	s.err = f.err
	if !valid {
		c.store(e, &s)
		return noToken
	}
	f.pause = pause(s.failures, rand.Float64())
	c.store(e, s.renewIn(f.pause, at))
	return refreshFailed
}

// report logs what a flight has come to, once it has landed: no handler keeps its callers waiting,
// nor waits for itself when it wants a token.
func (f *flight) report(ctx context.Context, log *slog.Logger, resource string) {
	switch f.outcome {
	case tokenAcquired:
		log.InfoContext(ctx, "azhost: token acquired", "resource", resource, "after", f.took, "expires", f.token.ExpiresOn)
		if f.token.Token == f.refused {
			log.WarnContext(ctx, "azhost: the host answered a claims challenge by the token that was cached, which may be the one refused",
				"resource", resource)
		}
	case noToken:
		log.WarnContext(ctx, "azhost: no token", "resource", resource, "after", f.took, "error", f.err)
	case refreshFailed:
		log.WarnContext(ctx, "azhost: refresh failed; the cached token is still valid",
			"resource", resource, "after", f.took, "pause", f.pause, "error", f.err)
	}
}

// leave takes a caller, whose context has ended, out of a flight, and reports whether that came
// before its landing. The last to leave cancels the flight.
func (c *cache) leave(e *entry, f *flight) (left bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.outcome != running {
		return false
	}
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		e.flights = slices.DeleteFunc(e.flights, func(other *flight) bool { return other == f })
	}
	return true
}
