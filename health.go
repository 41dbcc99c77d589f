// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"iter"
	"time"
)

// Health is the state of the token for one resource: for gauges, alerts and readiness checks.
//
// A program can work while ExpiresOn is in the future. Failures that is not zero before that hurts
// nobody yet; it is the time to look.
type Health struct {
	Resource   string    // as in the scope, without "/.default"
	AcquiredOn time.Time // when the host last gave a token; zero: it has not yet
	ExpiresOn  time.Time // of the cached token; zero: there is none
	RefreshOn  time.Time // from here on a call starts the next refresh; zero: there is no token
	Failures   int       // requests that have failed since AcquiredOn; those with claims do not count
	Err        error     // of the last request, as GetToken would return it; nil after a success
}

// Health returns the state of every resource that was asked for, in no particular order. It takes
// no lock and asks nobody, so it may be called as often as you like.
//
// A resource is there from the end of its first request, until its token has expired and, for ten
// minutes, nobody has asked again; at most 20,000 are. Credentials that share a cache share its health.
func (c *ManagedIdentityCredential) Health() iter.Seq[Health] {
	return func(yield func(Health) bool) {
		c.cache.states.Range(func(resource, value any) bool {
			s := value.(*state)
			h := Health{
				Resource: resource.(string), AcquiredOn: s.acquired, ExpiresOn: s.token.ExpiresOn,
				Failures: s.failures, Err: delivered(s.err, c.unavailableError),
			}
			if s.renew.wall != 0 {
				h.RefreshOn = time.Unix(0, s.renew.wall).UTC()
			}
			return yield(h)
		})
	}
}
