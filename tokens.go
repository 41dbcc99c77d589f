// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Tokens yields the token that [ManagedIdentityCredential.GetToken] returns for opts, and then each new
// token when it arrives, until ctx is done or the loop breaks. The token is refreshed while the loop
// runs. Use it for connection pools, for token files, and in programs that are idle for longer than a
// token's lifetime. To fill the cache at startup, take the first value.
//
// If a request fails while there is no valid token, Tokens yields the error and tries again after a pause
// that grows from 30 s to 5 min. It ends after one error if ctx is nil or opts has no valid scope. Claims
// in opts apply until the first token arrives. When Invalidate or another caller's claims replace the
// token, Tokens yields the new one. Its requests are shared with all other callers.
// On Service Fabric, set EnableCAE to get the tokens that the Azure SDK's clients request.
func (c *ManagedIdentityCredential) Tokens(ctx context.Context, opts policy.TokenRequestOptions) iter.Seq2[azcore.AccessToken, error] {
	return func(yield func(azcore.AccessToken, error) bool) {
		if ctx == nil {
			yield(c.GetToken(ctx, opts)) // returns the error
			return
		}
		var last string
		for failures := 0; ctx.Err() == nil; {
			token, err := c.GetToken(ctx, opts)
			if ctx.Err() != nil {
				return
			}
			var wait time.Duration
			if err != nil {
				failures++
				wait = max(pauseAfter(failures, rand.Float64()), retryAfterOf(err))
			} else {
				failures, opts.Claims = 0, ""
			}
			if err != nil || token.Token != last {
				if !yield(token, err) {
					return
				}
				last = token.Token
			}
			resource, wrong := resourceOf(opts.Scopes)
			if wrong != nil {
				return // no request can succeed
			}
			cache := c.cacheFor(opts)
			if opts.Claims != "" { // the service rejected the cached token
				token, _ = cache.valid(resource)
			}
			cache.wait(ctx, resource, token.Token, wait)
		}
	}
}

// wait returns when a valid token other than the given one is cached, or when ctx is done. If pause is 0, it
// also returns when the given token is due for refresh, has expired, or was dropped. Otherwise, it also
// returns after the pause. It checks once a minute, because timers stop while the machine is suspended.
func (c *cache) wait(ctx context.Context, resource, token string, pause time.Duration) {
	end, gone := time.Now().Add(pause), ctx.Done()
	for ctx.Err() == nil {
		c.mu.Lock()
		now := c.at(time.Now())
		e := c.entry(resource, now)
		d := time.Until(end)
		if pause == 0 {
			d = e.state.renew.after(now)
		}
		if d <= 0 || e.state.valid(now) && e.state.token.Token != token {
			c.mu.Unlock()
			return
		}
		if e.changed == nil {
			e.changed = make(chan struct{})
		}
		changed := e.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(min(d, time.Minute)):
		case <-gone:
		}
	}
}
