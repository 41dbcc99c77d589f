// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// cache holds one token per resource. A hit takes no lock and allocates nothing; everything else
// goes through flights (flight.go) by the rules of schedule.go. It knows nothing of HTTP. Make one
// with newCache.
//
//	fresh    returned
//	stale    returned, and refreshed in the background
//	dying    returned, but not before the refresh under way has failed or taken 2 s
//	expired  the caller joins or starts a flight, and waits for it or for its own context
type cache struct {
	epoch  time.Time // zero of the monotonic clock; written at construction
	states sync.Map  // resource string -> *state; all that a hit reads; written under mu

	mu      sync.Mutex // guards the fields below and all that the entries hold; never held across I/O
	entries map[string]*entry
	flights uint64  // number of the newest flight
	limit   int     // number of entries at which the next insertion sweeps
	swept   instant // when the last sweep was
}

// entry is what the cache knows of one resource beside its state.
type entry struct {
	resource string
	state    *state    // never nil; as in cache.states, once a flight has landed
	flights  []*flight // those under way, and those that failed a moment ago
	landed   instant   // when the last flight did
}

// state is a token, its schedule and its health. It is immutable: every change is a new one. The
// zero state has no token.
type state struct {
	due    instant // calls before it are hits: renew or dying, whichever comes first
	token  azcore.AccessToken
	renew  instant // from here on a call starts a refresh
	dying  instant // from here on calls wait for it, but not for long
	expiry instant

	acquired time.Time // when the token arrived
	failures int       // ordinary flights that have failed since
	err      error     // of the last of them
}

// valid reports whether there is a token that has not expired.
func (s *state) valid(now instant) bool { return !s.expiry.reached(now) }

const (
	// maxEntries bounds the cache, but for flights under way and a tenth beyond them: no program
	// uses this many resources for good.
	maxEntries = 20_000
	// sweepEvery is how often a landing flight removes the entries that have died meanwhile.
	sweepEvery = 10 * time.Minute
)

func newCache() *cache {
	c := &cache{epoch: time.Now(), entries: map[string]*entry{}, limit: maxEntries}
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
func (c *cache) get(ctx context.Context, resource, claims string, fetch fetchFunc, log *slog.Logger) (azcore.AccessToken, error) {
	start := time.Now()
	if claims == "" {
		if token, ok := c.hit(resource, start); ok {
			return token, nil
		}
	}
	c.mu.Lock()
	now := c.at(time.Now())
	e := c.entry(resource, now)
	f := e.flight(claims, now)
	if s := e.state; claims == "" && s.valid(now) {
		if s.renew.reached(now) {
			if f == nil || f.outcome != running {
				f = c.start(e, "", now, fetch, log)
			}
			f.waiters++ // the cache: nobody's leaving cancels a refresh
			c.store(e, s.renewIn(abandonedAfter, now))
		}
		wait := f != nil && f.outcome == running && s.dying.reached(now)
		c.mu.Unlock()
		if !wait {
			return s.token, nil
		}
		select {
		case <-f.done:
		case <-time.After(min(dyingWait, s.expiry.after(now)/2)):
		case <-ctx.Done():
		}
		if token, ok := c.valid(resource); ok {
			return token, nil
		}
		return c.get(ctx, resource, claims, fetch, log) // the machine has slept
	}
	if ctx.Err() != nil { // nobody would wait for what this caller starts
		c.mu.Unlock()
		return azcore.AccessToken{}, waitEnded(ctx, resource, 0)
	}
	if f == nil {
		f = c.start(e, claims, now, fetch, log)
	}
	f.waiters++
	c.mu.Unlock()

	select {
	case <-f.done:
	case <-ctx.Done():
		if c.leave(e, f) {
			return azcore.AccessToken{}, waitEnded(ctx, resource, time.Since(start))
		}
	}
	if f.err != nil && claims == "" { // a token that has come by another flight will do
		if token, ok := c.valid(resource); ok {
			return token, nil
		}
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
		e = &entry{resource: strings.Clone(resource), state: &state{}, landed: now}
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
	remove(func(e *entry) bool { return !e.state.valid(now) && e.landed.add(sweepEvery).reached(now) })
	if excess := len(c.entries) - maxEntries*9/10; len(c.entries) >= maxEntries {
		remove(func(*entry) bool { excess--; return excess >= 0 })
	}
	c.swept = now
	c.limit = max(maxEntries, len(c.entries)+len(c.entries)/10) // looking at every insertion would not help
}

// useless reports whether the cache holds nothing that anybody could want.
func (c *cache) useless() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweep(c.at(time.Now()))
	return len(c.entries) == 0
}
