// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

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
		f.until = at.add(max(forgetAfter(rand.Float64()), retryAfterOf(err)))
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
		f.pause = max(pauseAfter(s.failures, rand.Float64()), retryAfterOf(f.err))
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
