// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// What happens in a call:
//
//	GetToken                     credential.go   one scope, without "/.default"
//	├─ cache.hit                 cache.go        no lock; the token, if it is not due
//	└─ cache.get                 cache.go        one mutex, never held across I/O
//	   ├─ stale                  refresh.go      start a refresh unless one runs; return the token
//	   ├─ dying                  cache.go        wait up to 2 s for a running refresh; return its token or the old one
//	   └─ expired, or claims     flight.go       join or start a flight; wait for it or for ctx
//	        │  its own goroutine and span, context.Background, 3 minutes
//	        ▼
//	      client.fetch           client.go       build the request, send it, read the token
//	        azcore's pipeline                    the caller's per-call policies
//	        ├─ retry             retry.go        attempts on the host's schedule, each in its turn (gate.go)
//	        ├─ exchange │ variables               arc.go, challenge.go │ platform.go
//	        ├─                                   the caller's per-try policies, tracing, logging
//	        └─ transport         transport.go    no proxy, no redirect, a bounded body
//	      source.explain         imds.go │ arc.go │ platform.go   the error of an attempt without a token
//	   finish                    outcome.go      store a new state, close(done), then log

// cache holds one token per resource. A hit takes no lock and allocates nothing; everything else goes through
// flights. What a call gets depends on the token's age (refresh.go says when each stage begins):
//
//	fresh    it is returned
//	stale    it is returned, and refreshed in the background
//	dying    it is returned, but the caller waits up to 2 s for a refresh that is running
//	expired  the caller joins or starts a flight, and waits for it or for its own context
//
// A cache knows nothing about HTTP. Make one with newCache.
type cache struct {
	revocable bool      // its tokens are for clients that handle revocation; written at construction
	epoch     time.Time // zero of the monotonic clock; written at construction
	states    sync.Map  // resource string -> *state; a hit reads nothing else; written under mu

	mu      sync.Mutex // guards the fields below and all entries; never held across I/O
	entries map[string]*entry
	flights uint64  // number of the newest flight
	limit   int     // number of entries at which the next insertion sweeps
	swept   instant // when the last sweep was
}

// entry is what the cache knows about one resource, in addition to its state.
type entry struct {
	resource string
	state    *state        // never nil; the one in cache.states, once a flight has finished
	flights  []*flight     // running, or failed a moment ago
	finished instant       // when the last flight finished or Invalidate dropped the token
	dropped  *drop         // the last token that Invalidate dropped, or nil
	changed  chan struct{} // closed by the next store; nil if nothing waits for it
}

// state is a token, its schedule, and its health. It is immutable: every change makes a new state. The zero
// state has no token.
type state struct {
	due    instant // renew or dying, whichever comes first; calls before it are hits
	token  azcore.AccessToken
	renew  instant // when calls start a refresh
	dying  instant // when calls begin to wait for a refresh, but not for long
	expiry instant

	acquired int64 // when the last token arrived, in nanoseconds since 1970; 0 if none has
	failures int   // flights without claims that have failed since then
	err      error // of the last such flight
}

// valid reports whether there is a token that has not expired.
func (s *state) valid(now instant) bool { return !s.expiry.reached(now) }

// renewIn returns s with its next refresh d after now, or at its expiry if that is earlier.
func (s *state) renewIn(d time.Duration, now instant) *state {
	own := *s
	own.renew = earlier(now.add(d), s.expiry)
	return &own
}

const (
	// maxEntries limits the cache; entries with running flights can exceed it.
	maxEntries = 20_000
	// sweepEvery is how often a finishing flight removes dead entries.
	sweepEvery = 10 * time.Minute
)

func newCache(revocable bool) *cache {
	c := &cache{revocable: revocable, epoch: time.Now(), entries: map[string]*entry{}, limit: maxEntries}
	c.swept = c.at(c.epoch)
	return c
}

// at returns now on both clocks.
func (c *cache) at(now time.Time) instant {
	return instant{wall: now.UnixNano(), mono: int64(now.Sub(c.epoch))}
}

// hit returns the resource's token, if there is one that is not due for refresh.
func (c *cache) hit(resource string, now time.Time) (azcore.AccessToken, bool) {
	if v, ok := c.states.Load(resource); ok {
		if s := v.(*state); !s.due.reached(c.at(now)) {
			return s.token, true
		}
	}
	return azcore.AccessToken{}, false
}

// valid returns the resource's token, if there is one that has not expired.
func (c *cache) valid(resource string) (azcore.AccessToken, bool) {
	if v, ok := c.states.Load(resource); ok && v.(*state).valid(c.at(time.Now())) {
		return v.(*state).token, true
	}
	return azcore.AccessToken{}, false
}

// get returns the resource's cached token if it is valid. Otherwise, and whenever there are claims, it waits
// for a flight and returns its token, or returns an error when ctx is done.
func (c *cache) get(ctx context.Context, resource, claims string, r *requester) (azcore.AccessToken, error) {
	if claims == "" {
		if token, ok := c.hit(resource, time.Now()); ok {
			return token, nil
		}
	}
	gone, ended := ctx.Done(), ctx.Err() != nil // without the lock, because the context is the caller's code
	c.mu.Lock()
	now := c.at(time.Now())
	e := c.entry(resource, now)
	f := e.flight(claims, now)
	if s := e.state; claims == "" && s.valid(now) {
		if s.renew.reached(now) {
			f = c.refresh(e, f, now, r)
		}
		wait := f != nil && s.dying.reached(now) // if f has failed, the wait ends at once
		c.mu.Unlock()
		if !wait {
			return s.token, nil
		}
		select {
		case <-f.done:
		case <-time.After(min(dyingWait, s.expiry.after(now)/2)):
		case <-gone:
		}
		if token, ok := c.valid(resource); ok {
			return token, nil
		}
		return c.get(ctx, resource, claims, r) // the token expired while the machine was suspended
	}
	if ended { // this caller can't wait for a flight
		c.mu.Unlock()
		var cause error
		if f != nil {
			cause = f.progress.lastFailure()
		}
		return azcore.AccessToken{}, gaveUp(ctx, resource, r.from(), cause)
	}
	if f == nil {
		f = c.start(e, claims, now, r)
	}
	f.waiters++
	c.mu.Unlock()

	left := false
	select {
	case <-f.done:
	case <-gone:
		left = c.leave(e, f)
	}
	if claims == "" && (left || f.err != nil) { // another flight may have stored a token meanwhile
		if token, ok := c.valid(resource); ok {
			return token, nil
		}
	}
	if left {
		return azcore.AccessToken{}, gaveUp(ctx, resource, r.from(), f.progress.lastFailure())
	}
	return f.token, f.err
}

// entry returns the resource's entry, and creates it if necessary. The caller holds c.mu.
func (c *cache) entry(resource string, now instant) *entry {
	e := c.entries[resource]
	if e == nil {
		if len(c.entries) >= c.limit {
			c.sweep(now)
		}
		// The clone releases the longer scope that resource is a part of.
		e = &entry{resource: strings.Clone(resource), state: &state{}, finished: now}
		c.entries[e.resource] = e
	}
	return e
}

// store makes s the entry's state. The caller holds c.mu.
func (c *cache) store(e *entry, s *state) {
	s.due = earlier(s.renew, s.dying)
	e.state = s
	if c.entries[e.resource] == e { // otherwise it was swept, and another entry may have the resource
		c.states.Store(e.resource, s)
	}
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// sweep removes the entries that have no valid token and had no request for sweepEvery. If the cache is still
// full, it removes other idle entries until a tenth is free. The caller holds c.mu.
func (c *cache) sweep(now instant) {
	remove := func(condemned func(*entry) bool) {
		maps.DeleteFunc(c.entries, func(resource string, e *entry) bool {
			dead := e.idle(now) && condemned(e)
			if dead {
				c.states.Delete(resource)
			}
			return dead
		})
	}
	remove(func(e *entry) bool { return !e.state.valid(now) && e.finished.add(sweepEvery).reached(now) })
	if excess := len(c.entries) - maxEntries*9/10; len(c.entries) >= maxEntries {
		remove(func(*entry) bool { excess--; return excess >= 0 })
	}
	c.swept = now
	c.limit = max(maxEntries, len(c.entries)+len(c.entries)/10) // if little was removed, don't sweep at every insertion
}

// useless reports whether nothing is left in the cache after a sweep.
func (c *cache) useless() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(c.at(time.Now()))
	return len(c.entries) == 0
}
