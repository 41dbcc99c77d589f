// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// margin is the time that can pass between a caller's reading of the clock and the library's, because the
// operating system may suspend the caller in between. A token that expires in that time doesn't count as held.
const margin = 250 * time.Millisecond

// dying is the part of a token's life in which a caller waits for a running refresh, for at most half of what
// is left. Before that, no caller waits.
const dying = tokenLifetime/10 + margin

// target is one host and the credentials that get tokens from it.
type target struct {
	*figures
	host       *azhosttest.Host
	options    *azhost.ManagedIdentityCredentialOptions
	credential *azhost.ManagedIdentityCredential // for half of the calls; each of the others creates one
	held       [resources]atomic.Int64           // the latest expiry of a resource's tokens, in Unix nanoseconds
}

func newTarget(name string, host *azhosttest.Host, o *azhost.ManagedIdentityCredentialOptions) (*target, error) {
	credential, err := azhost.NewManagedIdentityCredential(o)
	return &target{figures: newFigures(name), host: host, options: o, credential: credential}, err
}

// first gets a token before the host begins to fail.
func (t *target) first(ctx context.Context) error {
	_, err := t.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://first.example"}})
	return err
}

// call requests tokens, with small pauses, until ctx is done.
func (t *target) call(ctx context.Context, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	for sleep(ctx, 5*time.Millisecond+rand.N(15*time.Millisecond)) {
		// Callers that leave early must not harm the others. The most patient callers make the longest calls.
		patience := []time.Duration{50 * time.Millisecond, time.Second, 5 * time.Second, time.Minute}
		credential := t.credential
		if random.IntN(2) == 0 {
			var err error
			if credential, err = azhost.NewManagedIdentityCredential(t.options); err != nil {
				t.violate(&t.unmade, "no credential: %v", err)
				continue
			}
			t.credentials.Add(1)
		}
		t.ask(ctx, credential, random.IntN(resources), patience[random.IntN(len(patience))])
	}
}

// ask requests one token and checks the result.
func (t *target) ask(ctx context.Context, credential *azhost.ManagedIdentityCredential, n int, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resource := fmt.Sprintf("https://r%d.example", n)
	held := time.Unix(0, t.held[n].Load())
	start := time.Now()
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
	took := time.Since(start)
	t.calls.Add(1)
	switch {
	case held.After(start.Add(dying)):
		raise(&t.longestHeld, took)
	case held.After(start.Add(margin)):
		raise(&t.longestDying, took)
	default:
		raise(&t.longest, took)
	}
	if err != nil {
		t.errors.Add(1)
		switch end := start.Add(took); {
		case held.After(start.Add(dying)), held.After(end):
			t.violate(&t.errorsWhileHeld, "error from %s to %s with a token valid until %s: %v", start, end, held, err)
		case held.After(start.Add(margin)):
			// The call waited for a refresh for half of what was left, and the machine was suspended for the
			// other half.
			t.errorsDying.Add(1)
		}
		return
	}
	if !token.ExpiresOn.After(start) {
		t.violate(&t.expired, "token that expired on %s at %s", token.ExpiresOn, start)
	}
	expiry, latest := token.ExpiresOn.UnixNano(), t.held[n].Load()
	// If two calls store a new token at once, the later expiry may be lost, which only makes the check more
	// lenient.
	if expiry > latest && t.held[n].CompareAndSwap(latest, expiry) {
		t.check(token, resource)
	}
}

// check checks that a new token is from the host and for the resource.
func (t *target) check(token azcore.AccessToken, resource string) {
	t.tokens.Add(1)
	claims, err := t.host.Verify(token.Token)
	switch {
	case err != nil && token.ExpiresOn.After(time.Now()):
		t.violate(&t.foreign, "token for %s: %v", resource, err)
	case err == nil && claims["aud"] != resource:
		t.violate(&t.foreign, "token for %s has the audience %v", resource, claims["aud"])
	}
}

// raise stores d if it is the longest so far.
func raise(longest *atomic.Int64, d time.Duration) {
	for {
		old := longest.Load()
		if int64(d) <= old || longest.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}
