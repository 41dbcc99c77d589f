// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"cmp"
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

// outcome is how a flight ended.
type outcome int

const (
	running       outcome = iota // not finished
	tokenAcquired                // with a token
	noToken                      // with an error, which its callers and the calls of the next second get
	refreshFailed                // with an error, but the cached token is still valid
	abandoned                    // with an error, after the last caller had left
	superseded                   // with an error, but a newer token is cached
)

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

// outdated reports whether f started before Invalidate dropped a token. Its request didn't report that token,
// so the host may return it again. The caller holds cache.mu.
func (e *entry) outdated(f *flight) bool {
	rejected := e.rejectedToken()
	return rejected != "" && f.rejected != rejected
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
		until: instant{wall: math.MaxInt64, mono: math.MaxInt64},
	}
	f.rejected = e.rejectedToken()
	if claims != "" {
		f.rejected = cmp.Or(e.state.token.Token, f.rejected)
	}
	p := &f.progress
	p.cache, p.entry, p.flight, p.ctx, p.journal.log = c, e, f, ctx, r.log
	e.flights = append(slices.DeleteFunc(e.flights, func(old *flight) bool { return old.until.reached(now) }), f)
	watchdog := time.AfterFunc(stuckAfter, func() { c.finish(e, f, azcore.AccessToken{}, errStuck) })
	go func() {
		defer stop()
		defer watchdog.Stop()
		c.run(withProgress(ctx, p), e, f)
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

// finish stores and publishes a flight's result.
func (c *cache) finish(e *entry, f *flight, token azcore.AccessToken, err error) {
	c.mu.Lock()
	if f.outcome != running { // the watchdog has finished it already
		c.mu.Unlock()
		return
	}
	now := time.Now()
	at := c.at(now)
	f.token, f.err, f.took = token, err, time.Duration(at.mono-f.started.mono)
	f.overtaken = f.overtaken || !slices.Contains(e.flights, f)
	e.finished = at
	if err != nil {
		f.until = at.add(max(forget(rand.Float64()), retryAfterOf(err)))
		f.outcome = c.keepFailure(e, f, at)
	} else {
		f.outcome = tokenAcquired
		c.keepToken(e, f, now, at)
	}
	if c.swept.add(sweepEvery).reached(at) {
		c.sweep(at)
	}
	close(f.done)
	c.mu.Unlock()
	f.report(e.resource)
}

// keepToken stores a flight's token, unless a newer one is cached. The caller holds c.mu.
func (c *cache) keepToken(e *entry, f *flight, now time.Time, at instant) {
	var renew, dying, life time.Duration
	f.token, renew, dying, life = scheduled(f.token, now, rand.Float64())
	// The host responds again, so calls may retry what has just failed.
	if e.flights = slices.DeleteFunc(e.flights, func(old *flight) bool { return old.outcome != running }); len(e.flights) == 0 {
		e.flights = nil // releases the array, because the token may stay cached for hours
	}
	if f.overtaken && e.state.valid(at) || e.outdated(f) && f.token.Token == e.rejectedToken() {
		return
	}
	if f.claims != "" { // this token is better than those of running flights without claims or with older ones
		for _, other := range e.flights {
			other.overtaken = other.claims == "" || other.number < f.number
		}
	}
	if e.dropped != nil && f.token.Token != e.dropped.token {
		e.dropped.token = ""
	}
	c.store(e, &state{token: f.token, renew: at.add(renew), dying: at.add(dying), expiry: at.add(life), acquired: at.wall})
}

// keepFailure stores a flight's failure. A token that is still valid stays cached. The caller holds c.mu.
func (c *cache) keepFailure(e *entry, f *flight, at instant) outcome {
	valid := e.state.valid(at)
	switch {
	case f.waiters == 0 && (f.claims != "" || f.progress.count() == 0): // without an attempt, the host has not failed
		return abandoned
	case f.claims != "":
		return noToken
	case f.overtaken && valid:
		return superseded
	}
	s := *e.state
	s.failures++
	s.err = f.err
	if valid {
		f.pause = max(pause(s.failures, rand.Float64()), retryAfterOf(f.err))
		c.store(e, s.renewIn(f.pause, at))
		return refreshFailed
	}
	c.store(e, &s)
	if f.waiters == 0 {
		return abandoned
	}
	return noToken
}

// report logs a flight's outcome and calls the observer, after the callers have been released.
func (f *flight) report(resource string) {
	f.observed(resource)
	j := &f.progress.journal
	if j.log == nil {
		return
	}
	attrs := []any{"resource", resource, "after", f.took.Round(time.Millisecond).String(), "attempts", f.progress.count()}
	switch f.outcome {
	case tokenAcquired:
		j.write(slog.LevelInfo, "azhost: token acquired", append(attrs, "expires", f.token.ExpiresOn)...)
		if f.token.Token == f.rejected {
			j.write(slog.LevelWarn, "azhost: the host returned the token that a service rejected; the service may reject it again", "resource", resource)
		}
	case noToken:
		j.write(slog.LevelWarn, "azhost: token request failed", append(attrs, "error", f.err)...)
	case refreshFailed:
		j.write(slog.LevelWarn, "azhost: refresh failed; the cached token is still valid", append(attrs, "pause", f.pause.Round(time.Millisecond).String(), "error", f.err)...)
	case abandoned:
		j.write(slog.LevelWarn, "azhost: token request failed after its last caller had left", append(attrs, "error", f.err)...)
	case superseded:
		j.write(slog.LevelWarn, "azhost: token request failed, but another one has returned a token", append(attrs, "error", f.err)...)
	}
	j.close()
}
