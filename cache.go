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
//	GetToken                     credential.go   one scope, one "/.default" off
//	├─ cache.hit                 cache.go        no lock: before due, the token
//	└─ cache.get                 cache.go        one mutex, never held across I/O
//	   ├─ stale                  flight.go       start a refresh unless one runs; the token at once
//	   ├─ dying                  cache.go        wait up to 2 s for the refresh that runs; its token, else the old one
//	   └─ expired, or claims     flight.go       join or start a flight; wait for it or for ctx
//	        │  its own goroutine and span, context.Background, 3 minutes
//	        ▼
//	      client.fetch           client.go       build the message, send it, read the token
//	        azcore's pipeline                    the caller's per-call policies
//	        ├─ retry             retry.go        attempts on the host's schedule, each in its turn (gate.go)
//	        ├─ exchange │ variables               arc.go, challenge.go │ platform.go
//	        ├─                                   the caller's per-try policies, tracing, logging
//	        └─ transport         transport.go    no proxy, no redirect, a bounded body
//	      source.explain         imds.go │ arc.go │ platform.go   why an attempt brought no token
//	   finish                    flight.go       a new state, close(done), then the log
//
// cache holds one token per resource. A hit takes no lock and allocates nothing; everything else
// goes through flights. What a call gets depends on the token's age (schedule.go says when each begins):
//
//	fresh    it is returned
//	stale    it is returned, and refreshed in the background
//	dying    it is returned, but the caller waits up to 2 s for a refresh that is running
//	expired  the caller joins or starts a flight, and waits for it or for its own context
//
// It knows nothing of HTTP. Make one with newCache.
type cache struct {
	revocable bool      // its tokens are for clients that handle revocation; written at construction
	epoch     time.Time // zero of the monotonic clock; written at construction
	states    sync.Map  // resource string -> *state; all that a hit reads; written under mu

	mu      sync.Mutex // guards the fields below and all that the entries hold; never held across I/O
	entries map[string]*entry
	flights uint64  // number of the newest flight
	limit   int     // number of entries at which the next insertion sweeps
	swept   instant // when the last sweep was
}

// entry is what the cache knows about one resource, in addition to its state.
type entry struct {
	resource string
	state    *state        // never nil; as in cache.states, once a flight has finished
	flights  []*flight     // those that run, and those that failed a moment ago
	finished instant       // when the last flight did, or when Invalidate dropped the token
	dropped  *drop         // the last token that Invalidate dropped; nil before that
	changed  chan struct{} // closed by the next store; nil until one waits for it
}

// drop is a token that a service rejected, and when it was dropped. It is apart from entry, because few
// resources have one.
type drop struct {
	token string // "" once another token is stored
	at    instant
}

// refused returns the token that Invalidate dropped, until another one is stored; "" for none.
func (e *entry) refused() string {
	if e.dropped == nil {
		return ""
	}
	return e.dropped.token
}

// state is a token, its schedule and its health. It is immutable: every change is a new one. The
// zero state has no token.
type state struct {
	due    instant // calls before it are hits: renew or dying, whichever comes first
	token  azcore.AccessToken
	renew  instant // from here on a call starts a refresh
	dying  instant // from here on calls wait for it, but not for long
	expiry instant

	acquired int64 // when the token arrived, in nanoseconds since 1970; 0: not yet
	failures int   // ordinary flights that have failed since
	err      error // of the last of them
}

// valid reports whether there is a token that has not expired.
func (s *state) valid(now instant) bool { return !s.expiry.reached(now) }

// renewIn returns s with its next refresh d after now, or at its expiry.
func (s *state) renewIn(d time.Duration, now instant) *state {
	own := *s
	own.renew = earlier(now.add(d), s.expiry)
	return &own
}

const (
	// maxEntries limits the cache; entries with running flights can exceed it.
	maxEntries = 20_000
	// sweepEvery is how often a flight that finishes removes the entries that have died meanwhile.
	sweepEvery = 10 * time.Minute
	// dropEvery bounds how often Invalidate drops a resource's token: a service that refuses every
	// token must not become a load on the host.
	dropEvery = time.Minute
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

// hit returns the resource's token when there is one that is not due for renewal.
func (c *cache) hit(resource string, now time.Time) (azcore.AccessToken, bool) {
	if v, ok := c.states.Load(resource); ok {
		if s := v.(*state); !s.due.reached(c.at(now)) {
			return s.token, true
		}
	}
	return azcore.AccessToken{}, false
}

// valid returns the resource's token when there is one that has not expired.
func (c *cache) valid(resource string) (azcore.AccessToken, bool) {
	if v, ok := c.states.Load(resource); ok && v.(*state).valid(c.at(time.Now())) {
		return v.(*state).token, true
	}
	return azcore.AccessToken{}, false
}

// get returns a token for the resource: the cached one while it is valid, else that of a flight,
// for which it waits until ctx ends. With claims it always waits for a flight.
func (c *cache) get(ctx context.Context, resource, claims string, r *requester) (azcore.AccessToken, error) {
	if claims == "" {
		if token, ok := c.hit(resource, time.Now()); ok {
			return token, nil
		}
	}
	gone, ended := ctx.Done(), ctx.Err() != nil // not under the lock: the context is the caller's code
	c.mu.Lock()
	now := c.at(time.Now())
	e := c.entry(resource, now)
	f := e.flight(claims, now)
	if s := e.state; claims == "" && s.valid(now) {
		if s.renew.reached(now) {
			if f == nil || f.outcome != running {
				f = c.start(e, "", now, r)
				f.background = true
			}
			f.waiters++ // the cache: no caller that leaves ends a refresh
			c.store(e, s.renewIn(stuckAfter, now))
		}
		wait := f != nil && s.dying.reached(now) // not for one that has failed: it is done
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
		return c.get(ctx, resource, claims, r) // the machine was suspended meanwhile
	}
	if ended { // no one would wait for what this caller starts
		c.mu.Unlock()
		var cause error
		if f != nil {
			cause = f.progress.lastFailure()
		}
		return azcore.AccessToken{}, gaveUp(ctx, resource, cause)
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
	if claims == "" && (left || f.err != nil) { // a token that another flight has brought meanwhile will do
		if token, ok := c.valid(resource); ok {
			return token, nil
		}
	}
	if left {
		return azcore.AccessToken{}, gaveUp(ctx, resource, f.progress.lastFailure())
	}
	return f.token, f.err
}

// entry returns the resource's entry, made if need be. The caller holds c.mu.
func (c *cache) entry(resource string, now instant) *entry {
	e := c.entries[resource]
	if e == nil {
		if len(c.entries) >= c.limit {
			c.sweep(now)
		}
		// The clone keeps a short resource from holding on to the longer scope that it was cut from.
		e = &entry{resource: strings.Clone(resource), state: &state{}, finished: now}
		c.entries[e.resource] = e
	}
	return e
}

// store makes s the entry's state. The caller holds c.mu.
func (c *cache) store(e *entry, s *state) {
	s.due = earlier(s.renew, s.dying)
	e.state = s
	if c.entries[e.resource] == e { // else it was swept, and a successor may have the resource
		c.states.Store(e.resource, s)
	}
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// drop removes a token that a service has refused, and remembers it for the next request, unless one
// was dropped less than a minute ago.
func (c *cache) drop(token string) {
	c.states.Range(func(resource, v any) bool {
		if v.(*state).token.Token != token {
			return true
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		now := c.at(time.Now())
		e := c.entries[resource.(string)]
		if e != nil && e.state.token.Token == token && (e.dropped == nil || e.dropped.at.add(dropEvery).reached(now)) {
			e.dropped, e.finished = &drop{token, now}, now
			for _, f := range e.flights {
				f.overtaken = f.overtaken || e.outdated(f)
			}
			c.store(e, &state{acquired: e.state.acquired, failures: e.state.failures, err: e.state.err})
		}
		return true
	})
}

// wait returns when a valid token other than the given one is cached, or when ctx is done. If pause is 0,
// it also returns when the given token is due for refresh, has expired, or was dropped; otherwise, when
// the pause is over. It checks once a minute, because timers stop while the machine is suspended.
func (c *cache) wait(ctx context.Context, resource, token string, pause time.Duration) {
	end, gone := time.Now().Add(pause), ctx.Done()
	for ctx.Err() == nil {
		c.mu.Lock()
		now := c.at(time.Now())
		e := c.entry(resource, now)
		d := time.Until(end)
		if pause == 0 {
			d = e.state.renew.after(now)
		}
		if d <= 0 || e.state.valid(now) && e.state.token.Token != token {
			c.mu.Unlock()
			return
		}
		if e.changed == nil {
			e.changed = make(chan struct{})
		}
		changed := e.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(min(d, time.Minute)):
		case <-gone:
		}
	}
}

// sweep removes the entries that hold nothing of use, and in a full cache a tenth of the others.
// The caller holds c.mu.
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
	c.limit = max(maxEntries, len(c.entries)+len(c.entries)/10) // looking at every insertion would not help
}

// useless reports whether the cache holds nothing that a caller could want.
func (c *cache) useless() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(c.at(time.Now()))
	return len(c.entries) == 0
}
