// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"iter"
	"math/rand/v2"

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
// shares them with all other callers. Claims in opts are used for the first token alone.
func (c *ManagedIdentityCredential) Tokens(ctx context.Context, opts policy.TokenRequestOptions) iter.Seq2[azcore.AccessToken, error] {
	return func(yield func(azcore.AccessToken, error) bool) {
		if ctx == nil {
			yield(c.GetToken(ctx, opts)) // which says so
			return
		}
		var last string
		for failures := 0; ctx.Err() == nil; {
			token, err := c.GetToken(ctx, opts)
			wait := latest
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				failures++
				wait = pause(failures, rand.Float64())
			default:
				failures, opts.Claims = 0, ""
			}
			if err != nil || token.Token != last {
				if !yield(token, err) {
					return
				}
				last = token.Token
			}
			resource, err := resourceOf(opts.Scopes)
			if err != nil {
				return // no request will ever be made
			}
			c.cacheFor(opts).wait(ctx, resource, max(wait, retryAfterOf(err)))
		}
	}
}
