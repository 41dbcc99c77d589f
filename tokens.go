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

// Tokens returns the token that [ManagedIdentityCredential.GetToken] returns for opts, and then each
// renewed one as soon as it is there, until ctx is done or the loop breaks. It keeps the token fresh
// while it is used: for connection pools, files, and programs that are idle for longer than a token
// lives. The first value warms the cache up.
//
// An error says that a request failed while there was no valid token; the loop then goes on, after the
// pauses of the cache's refreshes: 30 s, growing to 5 min. A token that is invalidated or replaced by
// another caller's claims counts as renewed. Tokens sends no requests but those of that schedule, and
// shares them with all other callers. Claims in opts are used for the first token alone. On
// Service Fabric, set EnableCAE for the tokens that the clients of the Azure SDK ask for.
func (c *ManagedIdentityCredential) Tokens(ctx context.Context, opts policy.TokenRequestOptions) iter.Seq2[azcore.AccessToken, error] {
	return func(yield func(azcore.AccessToken, error) bool) {
		if ctx == nil {
			yield(c.GetToken(ctx, opts)) // which says so
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
				wait = max(pause(failures, rand.Float64()), retryAfterOf(err))
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
				return // no request will ever be made
			}
			cache := c.cacheFor(opts)
			if opts.Claims != "" { // the cached token is the one that a service refused
				token, _ = cache.valid(resource)
			}
			cache.wait(ctx, resource, token.Token, wait)
		}
	}
}
