// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"log/slog"
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

// fetchFunc asks the host for a token.
type fetchFunc func(ctx context.Context, resource string) (azcore.AccessToken, error)

// flight is one request for a token, shared by all who want it. It is detached from its callers:
// it has the context values of the one who started it, but not the cancellation, and is cancelled
// when the last of them has left.
type flight struct {
	number uint64             // written before the flight is visible, as are the next three
	claims string             // "" for an ordinary flight
	cancel context.CancelFunc // ends the flight early
	done   chan struct{}      // closed when the flight has landed

	token azcore.AccessToken // written before done is closed, read after
	err   error              // likewise

	// Guarded by entry.mu.
	waiters    int     // callers waiting, and one for a background flight itself
	background bool    // nobody's leaving cancels it
	failed     bool    // it has landed without a token, and answers for the host until forget
	forget     instant // set with failed
}

// errNoLanding is the result of a fetch that ended its goroutine with runtime.Goexit, as a test's
// FailNow does when it is called in a policy.
var errNoLanding error = failed(nil, nil, "the request's goroutine was ended by a policy or transport")

// renew starts a background flight for a stale token, unless one is under way, and lets calls hit
// the token meanwhile. The caller holds e.mu.
func (c *cache) renew(ctx context.Context, e *entry, s *cached, fetch fetchFunc, log *slog.Logger) {
	f := e.flights[""]
	if f == nil || f.failed {
		f = c.takeOff(ctx, e, "", fetch, log)
	}
	if !f.background {
		f.background = true
		f.waiters++
	}
	c.store(e, s.dueIn(flightDeadline, c.at(time.Now())))
}

// dueIn returns s, due d after now or at its expiry.
func (s *cached) dueIn(d time.Duration, now instant) *cached {
	own := *s
	own.due = earlier(now.add(d), s.expiry)
	return &own
}

// takeOff starts a flight. The caller holds e.mu.
func (c *cache) takeOff(ctx context.Context, e *entry, claims string, fetch fetchFunc, log *slog.Logger) *flight {
	e.numbered++
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightDeadline)
	f := &flight{number: e.numbered, claims: claims, cancel: cancel, done: make(chan struct{})}
	if e.flights == nil {
		e.flights = make(map[string]*flight)
	}
	now := c.at(time.Now())
	for claims, old := range e.flights { // claims of the past must not pile up
		if old.failed && old.forget.reached(now) {
			delete(e.flights, claims)
		}
	}
	e.flights[claims] = f
	go c.fly(ctx, e, f, fetch, log)
	return f
}

// fly fetches and lands, whatever fetch does.
func (c *cache) fly(ctx context.Context, e *entry, f *flight, fetch fetchFunc, log *slog.Logger) {
	growStack()
	defer f.cancel()
	var token azcore.AccessToken
	err := errNoLanding
	defer func() {
		if r := recover(); r != nil { // a caller's policy panicked; its other callers must not wait for ever
			err = failed(nil, nil, "panic while requesting a token: %v\n%s", r, debug.Stack())
		}
		c.land(e, f, token, err, log)
	}()
	token, err = fetch(ctx, e.resource)
}

// growStack makes room for the calls of azcore's pipeline and net/http at once. They need more than
// the few KiB that a goroutine begins with; growing bit by bit, which copies all frames each time,
// makes a whole fetch over loopback a sixth slower.
//
//go:noinline
func growStack() {
	var room [12 << 10]byte
	runtime.KeepAlive(&room)
}

// land publishes a flight's result.
func (c *cache) land(e *entry, f *flight, token azcore.AccessToken, err error, log *slog.Logger) {
	now := time.Now()
	at := c.at(now)
	defer c.sweepIfDue(at)
	defer close(f.done)
	f.token, f.err = token, err
	if err != nil {
		if pause := c.landFailed(e, f, at); pause > 0 {
			log.Warn("azhost: refresh failed; the cached token is still valid", "resource", e.resource,
				"next attempt in", pause, "error", err)
		}
		return
	}
	token, due, life := scheduled(token, now, rand.Float64())
	f.token = token
	s := &cached{token: token, due: at.add(due), expiry: at.add(life), flight: f.number}
	if c.landed(e, f, s) {
		log.Warn("azhost: the host answered a request with claims by the token that was refused", "resource", e.resource)
	}
}

// landed stores a flight's token, and reports whether the flight brought back, for the first
// time, the very token that its callers' claims challenge had refused.
func (c *cache) landed(e *entry, f *flight, s *cached) (refused bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for claims, old := range e.flights {
		if old == f || old.failed { // the host is well: what failed a moment ago may be tried again
			delete(e.flights, claims)
		}
	}
	if len(e.flights) == 0 {
		e.flights = nil
	}
	old := e.current
	if old != nil && old.flight > f.number {
		return false // a flight that started later has landed already, perhaps with claims
	}
	if old != nil && old.token.Token == s.token.Token {
		s.refused = old.refused || f.claims != ""
		refused = s.refused && !old.refused
	}
	c.store(e, s)
	e.failures = 0
	return refused
}

// landFailed remembers a flight's failure, and returns the pause that it imposes on background
// flights, zero where there is no valid token to live on meanwhile.
func (c *cache) landFailed(e *entry, f *flight, now instant) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	f.failed = true
	f.forget = now.add(forget(rand.Float64()))
	s := e.current
	if s == nil || s.flight > f.number || !f.background || s.expiry.reached(now) {
		return 0
	}
	e.failures++
	d := pause(e.failures, rand.Float64())
	c.store(e, s.dueIn(d, now))
	return d
}

// leave takes a caller, whose context has ended, out of the flight, and reports whether the flight
// has landed meanwhile. The last to leave cancels the flight.
func (e *entry) leave(f *flight) (landed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-f.done:
		return true
	default:
	}
	f.waiters--
	if f.waiters == 0 {
		f.cancel()
		if e.flights[f.claims] == f {
			delete(e.flights, f.claims)
		}
	}
	return false
}
