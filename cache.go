// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// cache holds one token per resource. A hit takes no lock and allocates nothing; everything else
// goes through the entry's flights (flight.go) by the rules of schedule.go. It knows nothing of
// HTTP. Make one with newCache.
//
//	fresh    returned
//	stale    returned, and a background flight is started
//	expired  the caller joins or starts a flight, and waits for it or for its own context
type cache struct {
	epoch  time.Time // zero of the monotonic clock; written at construction
	tokens sync.Map  // resource string -> *cached, all that a hit reads; written under the entry's mu

	mu      sync.Mutex // guards the fields below; never held across I/O; taken before an entry's
	entries map[string]*entry
	sweep   int     // number of entries at which the next insertion sweeps
	swept   instant // when the last sweep was
}

// entry is what the cache knows of one resource.
type entry struct {
	resource string // written at construction

	mu       sync.Mutex         // guards the fields below; never held across I/O
	current  *cached            // nil before the first token; the same as in cache.tokens
	flights  map[string]*flight // by claims, "" for none: those under way, and those that have failed
	numbered uint64             // number of the newest flight
	failures int                // background refreshes that failed in a row
	removed  bool               // no longer in the cache; look the resource up again
}

// cached is a token and its schedule. It is immutable: every change is a new one.
type cached struct {
	due       instant // from here on a call looks whether to renew; at or before expiry
	token     azcore.AccessToken
	expiry    instant
	flight    uint64 // ordinary flights up to this number do not replace it
	challenge uint64 // flights with claims up to this number do not replace it
	refused   bool   // it was returned even to callers who said that it had been refused
}

const (
	// maxEntries bounds the cache, but for flights under way and a tenth beyond them: no program
	// uses this many resources for good.
	maxEntries = 20_000
	// minSweep is the size below which an insertion does not look for dead entries.
	minSweep = 1_000
	// sweepEvery is how often a landing flight removes the entries that have died meanwhile.
	sweepEvery = 10 * time.Minute
)

func newCache() *cache {
	c := &cache{epoch: time.Now(), entries: map[string]*entry{}, sweep: minSweep}
	c.swept = c.at(c.epoch)
	return c
}

// at returns now on both clocks.
func (c *cache) at(now time.Time) instant {
	return instant{wall: now.UnixNano(), mono: int64(now.Sub(c.epoch))}
}

// hit returns the resource's token when there is one that is not due for renewal.
func (c *cache) hit(resource string, now time.Time) (azcore.AccessToken, bool) {
	if v, ok := c.tokens.Load(resource); ok {
		if s := v.(*cached); !s.due.reached(c.at(now)) {
			return s.token, true
		}
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
	e := c.lockedEntry(resource, start)
	now := c.at(time.Now())
	if s := e.current; s != nil && claims == "" && !s.expiry.reached(now) {
		if s.due.reached(now) {
			c.renew(ctx, e, s, now, fetch, log)
		}
		e.mu.Unlock()
		return s.token, nil
	}
	if ctx.Err() != nil { // nobody would wait for what this caller starts
		e.mu.Unlock()
		return azcore.AccessToken{}, waitEnded(ctx, resource, 0)
	}
	f := e.flights[claims]
	starter := f == nil || f.until.reached(now)
	if starter {
		f = c.start(ctx, e, claims, now, fetch, log)
		f.starter = true
	}
	f.waiters++
	e.mu.Unlock()

	select {
	case <-f.done:
	case <-ctx.Done():
		if landed := e.leave(f, starter); !landed {
			return azcore.AccessToken{}, waitEnded(ctx, resource, time.Since(start))
		}
	}
	if starter {
		f.report(ctx, log, resource)
	}
	return f.token, f.err
}

// lockedEntry returns the resource's entry, made if need be, with its mutex held.
func (c *cache) lockedEntry(resource string, now time.Time) *entry {
	for {
		e := c.entry(resource, now)
		e.mu.Lock()
		if !e.removed {
			return e
		}
		e.mu.Unlock()
	}
}

func (c *cache) entry(resource string, now time.Time) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[resource]; e != nil {
		return e
	}
	if len(c.entries) >= c.sweep {
		c.removeDead(c.at(now))
	}
	// The clone keeps a short resource from holding on to the longer scope that it was cut from.
	e := &entry{resource: strings.Clone(resource)}
	c.entries[e.resource] = e
	return e
}

// sweepIfDue removes dead entries now and then. A landing flight calls it, so that resources that
// were used once do not stay for ever in a program that goes on using others.
func (c *cache) sweepIfDue(now instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.swept.add(sweepEvery).reached(now) {
		c.removeDead(now)
	}
}

// removeDead removes the entries that hold nothing of use, and in a full cache a tenth of the
// others. The caller holds c.mu.
func (c *cache) removeDead(now instant) {
	c.remove(func(e *entry) bool {
		return e.idle(now) && (e.current == nil || e.current.expiry.reached(now))
	})
	if len(c.entries) >= maxEntries {
		c.remove(func(e *entry) bool { return len(c.entries) > maxEntries*9/10 && e.idle(now) })
	}
	n := len(c.entries)
	c.sweep = min(max(2*n, minSweep), maxEntries)
	if n >= maxEntries { // a flight is under way for each; looking at every insertion would not help
		c.sweep = n + n/10
	}
	c.swept = now
}

// remove removes the entries that condemned, called with the entry's mutex held, picks. The
// caller holds c.mu.
func (c *cache) remove(condemned func(*entry) bool) {
	for resource, e := range c.entries {
		e.mu.Lock()
		if condemned(e) {
			e.removed = true
			delete(c.entries, resource)
			c.tokens.Delete(resource)
		}
		e.mu.Unlock()
	}
}

// store makes s the entry's token. The caller holds e.mu.
func (c *cache) store(e *entry, s *cached) {
	e.current = s
	if !e.removed { // else a successor has the resource
		c.tokens.Store(e.resource, s)
	}
}

// idle reports whether there is no flight that a call could join. The caller holds e.mu.
func (e *entry) idle(now instant) bool {
	for _, f := range e.flights {
		if !f.until.reached(now) {
			return false
		}
	}
	return true
}
