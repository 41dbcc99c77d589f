// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"iter"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

const (
	renewalPause  = time.Minute     // after a failure, and while the host returns the token that it returned before
	renewalMargin = 5 * time.Minute // before the expiry of a token without RefreshOn
)

// renewals yields the token and each renewal of it, and the errors in between, until ctx ends.
func renewals(ctx context.Context, cred *azhost.ManagedIdentityCredential, opts policy.TokenRequestOptions) iter.Seq2[azcore.AccessToken, error] {
	return func(yield func(azcore.AccessToken, error) bool) {
		var last azcore.AccessToken
		for ctx.Err() == nil {
			token, err := cred.GetToken(ctx, opts)
			if ctx.Err() != nil {
				return
			}
			if (err != nil || token.Token != last.Token) && !yield(token, err) {
				return
			}
			pause := renewalPause
			if err == nil {
				opts.Claims = "" // only the first request has to bypass the cache
				due := token.RefreshOn
				if due.IsZero() {
					due = token.ExpiresOn.Add(-renewalMargin)
				}
				pause, last = max(time.Until(due), renewalPause), token
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}
}
