// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import "time"

// Event is one finished request for a token, for [ManagedIdentityCredentialOptions.Observe]. It
// holds no secret.
type Event struct {
	Source     Source        // the host that was asked
	Identity   string        // the ID that was asked for; "" is the system-assigned identity
	Resource   string        // as in the scope, without "/.default"
	Background bool          // true for a refresh, for which no caller waited when it started
	Attempts   int           // number of attempts, retries included; 0 if a remembered failure was returned
	Duration   time.Duration // from the call that started the request to its end
	ExpiresOn  time.Time     // of the new token; zero if there is none
	Err        error         // as GetToken returns it; nil after a success
}

// observed tells the observer, once the callers have gone on.
func (f *flight) observed(resource string) {
	if f.observe == nil {
		return
	}
	e := Event{
		Resource: resource, Background: f.background, Attempts: f.progress.count(),
		Duration: f.took, ExpiresOn: f.token.ExpiresOn, Err: f.err,
	}
	go guarded(func() { f.observe(e) })
}
