// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"iter"
	"time"
)

// Health is the state of the token for one resource.
//
// For a readiness probe, check that ExpiresOn is in the future: until then, callers get a token. For a
// gauge, report the time left until ExpiresOn, and alert when it is shorter than your time to react. If
// Failures is above zero while ExpiresOn is in the future, callers are not affected yet, but the host
// needs attention; Err says why.
type Health struct {
	Resource   string    // as in the scope, without "/.default"
	AcquiredOn time.Time // when the host last returned a token; zero if it hasn't yet
	ExpiresOn  time.Time // when the cached token expires; zero if there is none
	RefreshOn  time.Time // when calls start the next refresh; set even if the token's own RefreshOn is zero
	Failures   int       // failed requests since AcquiredOn, except those with claims
	Err        error     // the last request's error, as GetToken would return it, but without UnavailableError's error; nil after a success
}

// Health returns the state of every resource that was requested, in no particular order. It takes no lock and
// sends no request, so you can call it as often as you like.
//
// A resource is listed from the end of its first request. Once its token has expired and it has had no
// request for ten minutes, a later request for any resource removes it. At most about 20,000 resources are
// listed. Credentials that share a cache share its health. On Service Fabric, a resource that is requested
// with and without EnableCAE is listed twice.
func (c *ManagedIdentityCredential) Health() iter.Seq[Health] {
	return func(yield func(Health) bool) {
		caches := []*cache{c.cache}
		if c.revocable != c.cache {
			caches = append(caches, c.revocable)
		}
		for _, cache := range caches {
			more := true
			cache.states.Range(func(resource, value any) bool {
				s := value.(*state)
				h := Health{
					Resource: resource.(string), ExpiresOn: s.token.ExpiresOn,
					Failures: s.failures, Err: delivered(s.err, nil),
				}
				if s.acquired != 0 {
					h.AcquiredOn = time.Unix(0, s.acquired).UTC()
				}
				if s.renew.wall != 0 {
					h.RefreshOn = time.Unix(0, s.renew.wall).UTC()
				}
				more = yield(h)
				return more
			})
			if !more {
				return
			}
		}
	}
}
