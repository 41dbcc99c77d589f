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

// fetchFunc asks the host for a token.
type fetchFunc func(ctx context.Context, resource string) (azcore.AccessToken, error)

// flight is one request for a token, shared by all who want it. It is detached from its callers:
// it has the context values of the one who started it, but not the cancellation, and is cancelled
// when the last of them has left.
type flight struct {
	number  uint64        // written before the flight is visible, as are the next three
	claims  string        // "" for an ordinary flight
	started instant       // when it took off
	done    chan struct{} // closed when the flight has landed

	// Written before landed is set and done is closed, read after either.
	token   azcore.AccessToken
	err     error
	took    time.Duration
	pause   time.Duration // imposed on background flights by err, if that ended one
	refused bool          // token is the one that the claims challenge had refused, for the first time
	moot    bool          // err concerns nobody: all have left, or another flight brought a token meanwhile

	// Guarded by entry.mu.
	cancel     context.CancelFunc // ends the flight early; nil once it has landed, for it holds on to the first caller's context
	waiters    int                // callers waiting
	starter    bool               // the one who started it is among them, and logs what came of it
	background bool               // nobody's leaving cancels it
	landed     bool               // in entry.flights it has failed then, and answers for the host
	until      instant            // from here on no call joins it
}

// errNoResult is the result of a fetch that ended its goroutine with runtime.Goexit, as a test's
// FailNow does when it is called in a policy.
var errNoResult error = failed(nil, nil, "the request's goroutine was ended by a policy or transport")

// errTooLong is the cause of a flight's end by its own deadline.
var errTooLong = fmt.Errorf("no token within %s", flightDeadline)

// renew starts a background flight for a stale token, unless one is under way, and lets calls hit
// the token meanwhile. The caller holds e.mu.
func (c *cache) renew(ctx context.Context, e *entry, s *cached, now instant, fetch fetchFunc, log *slog.Logger) {
	f := e.flights[""]
	if f == nil || f.landed || f.until.reached(now) {
		f = c.start(ctx, e, "", now, fetch, log)
	}
	f.background = true
	c.store(e, s.dueIn(abandonedAfter, now))
}

// dueIn returns s, due d after now or at its expiry.
func (s *cached) dueIn(d time.Duration, now instant) *cached {
	own := *s
	own.due = earlier(now.add(d), s.expiry)
	return &own
}

// start starts a flight. The caller holds e.mu.
func (c *cache) start(ctx context.Context, e *entry, claims string, now instant, fetch fetchFunc, log *slog.Logger) *flight {
	e.numbered++
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), flightDeadline, errTooLong)
	f := &flight{number: e.numbered, claims: claims, started: now, done: make(chan struct{}), cancel: cancel}
	// By the monotonic clock alone, as the context's timer.
	f.until = instant{wall: math.MaxInt64, mono: now.add(abandonedAfter).mono}
	if e.flights == nil {
		e.flights = make(map[string]*flight)
	}
	for claims, old := range e.flights { // claims of the past must not pile up
		if old.until.reached(now) {
			delete(e.flights, claims)
		}
	}
	e.flights[claims] = f
	go c.run(ctx, e, f, fetch, log)
	return f
}

// fly fetches and lands, whatever fetch does.
func (c *cache) run(ctx context.Context, e *entry, f *flight, fetch fetchFunc, log *slog.Logger) {
	growStack()
	defer f.cancel()
	var token azcore.AccessToken
	err := errNoResult
	defer func() {
		if r := recover(); r != nil { // a caller's policy panicked; its other callers must not wait for ever
			err = failed(nil, nil, "panic while requesting a token: %v\n%s", r, debug.Stack())
		}
		if starter := c.finish(e, f, token, err); !starter {
			defer func() { _ = recover() }() // no program can guard this goroutine against its handler's bugs
			f.report(ctx, log, e.resource)
		}
	}()
	token, err = fetch(ctx, e.resource)
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

// land publishes a flight's result, and reports whether the one who started it has waited for it.
func (c *cache) finish(e *entry, f *flight, token azcore.AccessToken, err error) (starter bool) {
	now := time.Now()
	at := c.at(now)
	defer c.sweepIfDue(at)
	defer close(f.done)
	e.mu.Lock()
	defer e.mu.Unlock()
	f.landed, f.cancel = true, nil
	f.took = time.Duration(at.mono - f.started.mono)
	if err != nil {
		f.err = err
		c.keepFailure(e, f, at)
		return f.starter
	}
	token, due, life := scheduled(token, now, rand.Float64())
	f.token = token
	c.keepToken(e, f, &cached{token: token, due: at.add(due), expiry: at.add(life), flight: f.number}, at)
	return f.starter
}

// keepToken stores a flight's token, unless one is cached that the flight cannot know better than.
// The caller holds e.mu.
func (c *cache) keepToken(e *entry, f *flight, s *cached, now instant) {
	for claims, old := range e.flights {
		if old.landed { // this one, and failures: the host is well, what failed a moment ago may be tried again
			delete(e.flights, claims)
		}
	}
	if len(e.flights) == 0 {
		e.flights = nil
	}
	if old := e.current; old != nil {
		newest := old.flight
		if f.claims != "" {
			newest = old.challenge
		}
		if f.number <= newest && !old.expiry.reached(now) {
			return
		}
		s.challenge = old.challenge
		if old.token.Token == s.token.Token {
			s.refused = old.refused || f.claims != ""
			f.refused = s.refused && !old.refused
		}
	}
	if f.claims != "" { // no ordinary flight that is under way knows better
		s.flight, s.challenge = e.numbered, f.number
	}
	c.store(e, s)
	e.failures = 0
}

// keepFailure remembers a flight's failure, and lets the token that it was to replace live on. The
// caller holds e.mu.
func (c *cache) keepFailure(e *entry, f *flight, now instant) {
	f.until = now.add(forget(rand.Float64()))
	s := e.current
	if s == nil || !f.background || s.expiry.reached(now) {
		return
	}
	if f.number <= s.flight {
		f.moot = f.moot || f.waiters == 0
		return
	}
	e.failures++
	f.pause = pause(e.failures, rand.Float64())
	c.store(e, s.dueIn(f.pause, now))
}

// report logs what came of a flight that has landed: no handler keeps the others waiting, however
// slow it is, nor waits for itself when it wants a token.
func (f *flight) report(ctx context.Context, log *slog.Logger, resource string) {
	switch {
	case f.pause > 0:
		log.WarnContext(ctx, "azhost: refresh failed; the cached token is still valid",
			"resource", resource, "after", f.took, "pause", f.pause, "error", f.err)
	case f.err != nil && f.moot:
	case f.err != nil:
		log.WarnContext(ctx, "azhost: no token", "resource", resource, "after", f.took, "error", f.err)
	default:
		log.InfoContext(ctx, "azhost: token acquired", "resource", resource, "after", f.took, "expires", f.token.ExpiresOn)
	}
	if f.refused {
		log.WarnContext(ctx, "azhost: the host answered a claims challenge by the token that was cached, which may be the one refused",
			"resource", resource)
	}
}

// leave takes a caller, whose context has ended, out of the flight, and reports whether the flight
// has landed meanwhile. The last to leave cancels the flight.
func (e *entry) leave(f *flight, starter bool) (landed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.landed {
		return true
	}
	f.waiters--
	f.starter = f.starter && !starter
	if f.waiters == 0 && !f.background {
		f.moot = true
		f.cancel()
		if e.flights[f.claims] == f {
			delete(e.flights, f.claims)
		}
	}
	return false
}
