// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

const (
	// halfLifeAbove is the remaining life above which a token is refreshed at half its life, as Microsoft's
	// authentication libraries do.
	halfLifeAbove = 2 * time.Hour

	// latest is the longest time before a refresh. Revocable tokens live for a day or more, and the
	// identity's permissions may change in that time.
	latest = 12 * time.Hour

	// lastMinutes is when azcore's bearer token policy starts to request a new token if RefreshOn is zero.
	lastMinutes = 5 * time.Minute

	// lastMinute is the end of a token's life, in which it may expire before its caller uses it.
	lastMinute = time.Minute

	// pauseMin and pauseMax limit the pause after a failed background refresh. It must be short enough to
	// notice soon that the host is back, and long enough not to burden a failing host.
	pauseMin = 30 * time.Second
	pauseMax = 5 * time.Minute

	// failureMemory is how long a failure is returned to new callers, so that callers queued behind it fail
	// together instead of waiting for the host one after another.
	failureMemory = time.Second
)

// refresh returns the flight that refreshes a token in the background. It is f if that is running. The caller
// holds c.mu.
func (c *cache) refresh(e *entry, f *flight, now instant, r *requester) *flight {
	if f == nil || f.outcome != running {
		f = c.start(e, "", now, r)
		f.background = true
	}
	f.waiters++ // counts the cache, so that no leaving caller ends the refresh
	c.store(e, e.state.renewIn(stuckAfter, now))
	return f
}

// instant is a time on both of the machine's clocks. The wall clock continues while the machine is
// suspended; the monotonic clock doesn't jump when the time is set.
type instant struct {
	wall int64 // nanoseconds since 1970
	mono int64 // nanoseconds since the cache was made
}

// reached reports whether t has passed on either clock, so that a token isn't used longer because a clock
// stood still or was set back.
func (t instant) reached(now instant) bool {
	return now.wall >= t.wall || now.mono >= t.mono
}

// add returns the moment d after t.
func (t instant) add(d time.Duration) instant {
	return instant{t.wall + int64(d), t.mono + int64(d)}
}

// after returns the time from now to t, on the clock on which it is shorter.
func (t instant) after(now instant) time.Duration {
	return time.Duration(min(t.wall-now.wall, t.mono-now.mono))
}

// earlier returns the moment that is reached once a or b is. It compares each clock separately, because they
// diverge when the machine sleeps or its time is set.
func earlier(a, b instant) instant {
	return instant{min(a.wall, b.wall), min(a.mono, b.mono)}
}

// scheduled sets the RefreshOn of a token that arrived at now. r is a random number in [0,1). It returns the
// times from now until the token is stale and must be renewed, is dying, and expires.
//
// RefreshOn is the host's or, if more than two hours remain, after half the lifetime. It is at most 12 h from
// now. It is up to a tenth earlier, at random, so that machines that start together don't refresh together.
// In all other cases, RefreshOn is zero, and the token is refreshed five minutes before it expires or in the
// last tenth of its lifetime, whichever comes later. A token is dying in its last minute or last tenth,
// whichever is shorter.
func scheduled(token azcore.AccessToken, now time.Time, r float64) (_ azcore.AccessToken, renew, dying, life time.Duration) {
	life = token.ExpiresOn.Sub(now)
	dying = life - min(lastMinute, life/10)
	switch {
	case token.RefreshOn.After(now) && token.RefreshOn.Before(token.ExpiresOn):
		renew = token.RefreshOn.Sub(now)
	case life > halfLifeAbove:
		renew = life / 2
	default:
		token.RefreshOn = time.Time{}
		return token, life - min(lastMinutes, life/10), dying, life
	}
	renew = min(renew, latest)
	renew -= time.Duration(r * float64(renew) / 10)
	token.RefreshOn = now.Add(renew).Round(0).UTC() // Round: a monotonic reading would make equal times differ
	return token, renew, dying, life
}

// pauseAfter returns how long to wait after n background refreshes in a row have failed.
func pauseAfter(n int, r float64) time.Duration {
	d := pauseMax
	if n <= 4 { // 30 s, 1 min, 2 min, 4 min
		d = pauseMin << (n - 1)
	}
	return d + time.Duration(r*float64(d)/10)
}

// forgetAfter returns how long a failed flight is cached.
func forgetAfter(r float64) time.Duration {
	return failureMemory*9/10 + time.Duration(r*float64(failureMemory)/5)
}
