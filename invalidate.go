// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import "time"

// Invalidate reports that a service rejected token without sending claims. If token is still cached,
// Invalidate drops it, and the next call of GetToken requests a new one. A resource's token is dropped at
// most once a minute. The request bypasses the Arc agent's cache and sends Service Fabric the token's hash.
// Other hosts may return the same token until their own cache expires. Invalidate has no effect if token is
// empty or isn't cached. It doesn't wait. Use it only in programs that call GetToken themselves: the Azure
// SDK's clients keep a copy of the token, which they drop when a service responds with 401.
func (c *ManagedIdentityCredential) Invalidate(token string) {
	if token == "" {
		return
	}
	c.cache.drop(token)
	if c.revocable != c.cache {
		c.revocable.drop(token)
	}
}

// dropEvery is how often Invalidate can drop a resource's token. Otherwise, a service that rejects every
// token would cause a flood of requests to the host.
const dropEvery = time.Minute

// drop is a token that a service rejected, and when it was dropped. Entries point to it, because few
// resources have one.
type drop struct {
	token string // "" once another token is stored
	at    instant
}

// rejectedToken returns the token that Invalidate dropped. It returns "" if there is none, or once another
// token is stored.
func (e *entry) rejectedToken() string {
	if e.dropped == nil {
		return ""
	}
	return e.dropped.token
}

// drop removes a token that a service rejected, and keeps it for the next request. It does nothing if it
// removed the resource's token less than a minute ago.
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
				if e.outdated(f) {
					f.overtaken = true
				}
			}
			c.store(e, &state{acquired: e.state.acquired, failures: e.state.failures, err: e.state.err})
		}
		return true
	})
}

// outdated reports whether f started before Invalidate dropped a token. Its request didn't report that token,
// so the host may return it again. The caller holds cache.mu.
func (e *entry) outdated(f *flight) bool {
	rejected := e.rejectedToken()
	return rejected != "" && f.rejected != rejected
}
