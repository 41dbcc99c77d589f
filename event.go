// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import "time"

// Event describes a finished token request, for [ManagedIdentityCredentialOptions.Observe]. It contains no
// secrets.
type Event struct {
	Source     Source        // the host
	Identity   string        // the requested ID; "" for the system-assigned identity
	Resource   string        // as in the scope, without "/.default"
	Background bool          // true for a refresh, for which no caller waited when it started
	Attempts   int           // finished attempts, including retries; 0 if nothing was sent, as during a Retry-After
	Duration   time.Duration // from the call that started the request to its end
	ExpiresOn  time.Time     // of the new token; zero if there is none
	Err        error         // as GetToken returns it, but without UnavailableError's error; nil after a success
}

// observed calls the observer, after the callers have been released.
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
