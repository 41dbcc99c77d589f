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
	Background bool          // a refresh: no caller waited for it when it began
	Attempts   int           // requests sent to the host, retries included; an Arc challenge and its answer are one
	Duration   time.Duration // from the first call that wanted the token to the end of the last attempt
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
