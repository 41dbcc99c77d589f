// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

const (
	callers         = 100
	unknownResource = "https://azhost-live.invalid"
	unknownClient   = azhost.ClientID("00000000-0000-0000-0000-000000000000")
)

// check is a promise and the result of checking it.
type check struct {
	promise  string
	held     bool
	result   string // without identifiers
	took     time.Duration
	requests int
}

// checker checks the promises one after the other.
type checker struct {
	resource string
	clientID string // "" if there is none to select
	options  func() *azhost.ManagedIdentityCredentialOptions
	errors   io.Writer // for the texts of errors

	watch  watch
	source azhost.Source
	checks []check
}

// run fills source and checks.
func (c *checker) run(ctx context.Context) {
	cred, err := c.credential(nil)
	if err != nil {
		c.check("detects the host", func() (bool, string) { return false, c.describe(err) })
		return
	}
	c.source = cred.Source()
	var first azcore.AccessToken
	c.check("gets a token", func() (bool, string) {
		first, err = c.token(ctx, cred, c.resource)
		if err != nil {
			return false, c.describe(err)
		}
		// The lifetime without its minutes and seconds can't identify a token.
		return first.ExpiresOn.After(time.Now()), fmt.Sprintf("a token, valid for about %.0f h", time.Until(first.ExpiresOn).Hours())
	})
	if err != nil {
		return // what follows needs a token
	}
	c.check("serves a second call from the cache", func() (bool, string) {
		before := c.watch.count()
		second, err := c.token(ctx, cred, c.resource)
		if err != nil {
			return false, c.describe(err)
		}
		return second.Token == first.Token && c.watch.count() == before, same(second.Token == first.Token)
	})
	c.check(fmt.Sprintf("combines %d concurrent calls into one request", callers), func() (bool, string) { return c.herd(ctx) })
	c.check("fails for an unknown resource", func() (bool, string) {
		_, err := c.token(ctx, cred, unknownResource)
		failed, ok := errors.AsType[*azhost.AuthenticationFailedError](err)
		return ok && failed.RawResponse != nil, c.describe(err)
	})
	c.check("refuses an identity that isn't assigned", func() (bool, string) {
		_, err := c.selected(ctx, unknownClient)
		return err != nil && ctx.Err() == nil, c.describe(err)
	})
	if c.clientID != "" {
		c.check("gets a token for a user-assigned identity", func() (bool, string) {
			token, err := c.selected(ctx, azhost.ClientID(c.clientID))
			if err != nil {
				return false, c.describe(err)
			}
			return true, same(token.Token == first.Token)
		})
	}
}

// check runs f and adds what it returns to the checks.
func (c *checker) check(promise string, f func() (held bool, result string)) {
	start, before := time.Now(), c.watch.count()
	held, result := f()
	c.checks = append(c.checks, check{promise, held, result, time.Since(start), c.watch.count() - before})
}

// herd gets a token from many goroutines at once, with a credential that has none yet.
func (c *checker) herd(ctx context.Context) (bool, string) {
	cred, err := c.credential(nil)
	if err != nil {
		return false, c.describe(err)
	}
	before := c.watch.count()
	tokens, errs := make([]azcore.AccessToken, callers), make([]error, callers)
	var calls sync.WaitGroup
	for n := range callers {
		calls.Go(func() { tokens[n], errs[n] = c.token(ctx, cred, c.resource) })
	}
	calls.Wait()
	distinct := map[string]bool{}
	for n, err := range errs {
		if err != nil {
			return false, c.describe(err)
		}
		distinct[tokens[n].Token] = true
	}
	want := 1
	if c.source == azhost.SourceAzureArc {
		want = 2 // without a key, and then with the challenge's key
	}
	return len(distinct) == 1 && c.watch.count()-before == want, fmt.Sprintf("%d distinct", len(distinct))
}

// selected gets a token for a user-assigned identity.
func (c *checker) selected(ctx context.Context, id azhost.ManagedIDKind) (azcore.AccessToken, error) {
	cred, err := c.credential(id)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return c.token(ctx, cred, c.resource)
}

// credential returns a credential that shares no cache, because the watch is a policy.
func (c *checker) credential(id azhost.ManagedIDKind) (*azhost.ManagedIdentityCredential, error) {
	o := c.options()
	o.ID = id
	o.PerRetryPolicies = append(o.PerRetryPolicies, &c.watch)
	return azhost.NewManagedIdentityCredential(o)
}

func (c *checker) token(ctx context.Context, cred azcore.TokenCredential, resource string) (azcore.AccessToken, error) {
	return cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
}

// describe returns an error's type and status. Its text can contain IDs, so it isn't part of the record.
func (c *checker) describe(err error) string {
	if err == nil {
		return "a token"
	}
	fmt.Fprintln(c.errors, err)
	if _, ok := errors.AsType[*azhost.CredentialUnavailableError](err); ok {
		return "CredentialUnavailableError"
	}
	failed, ok := errors.AsType[*azhost.AuthenticationFailedError](err)
	switch {
	case !ok:
		return "an error from NewManagedIdentityCredential"
	case failed.RawResponse == nil:
		return "AuthenticationFailedError"
	}
	return fmt.Sprintf("AuthenticationFailedError, %d %s", failed.RawResponse.StatusCode, http.StatusText(failed.RawResponse.StatusCode))
}

func same(same bool) string {
	if same {
		return "the same token"
	}
	return "another token"
}
