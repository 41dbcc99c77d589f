// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostdefault

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
)

// managedIdentity is azhost's credential with azidentity's error types. Its fields are written at construction.
type managedIdentity struct {
	cred  *azhost.ManagedIdentityCredential
	probe *azhost.ManagedIdentityCredential // makes one attempt; nil if cred doesn't need it
}

// newManagedIdentity returns the credential. last reports that no other credential follows.
func newManagedIdentity(o azcore.ClientOptions, last bool) azcore.TokenCredential {
	options := azhost.ManagedIdentityCredentialOptions{
		ClientOptions:    o,
		UnavailableError: azidentity.NewCredentialUnavailableError,
	}
	if id := strings.TrimSpace(os.Getenv("AZURE_CLIENT_ID")); id != "" {
		options.ID = azhost.ClientID(id)
	}
	cred, err := azhost.NewManagedIdentityCredential(&options)
	if err != nil {
		return missing("ManagedIdentityCredential", err)
	}
	if last || cred.Source() != azhost.SourceIMDS || o.Retry.MaxRetries < 0 {
		return managedIdentity{cred: cred}
	}
	// A developer's VM, a build agent or a pod may have no access to IMDS, for which azhost would wait.
	options.Retry.MaxRetries = -1
	probe, err := azhost.NewManagedIdentityCredential(&options)
	if err != nil {
		return missing("ManagedIdentityCredential", err)
	}
	return managedIdentity{cred, probe}
}

func (m managedIdentity) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if m.probe != nil && !m.found() {
		if _, err := m.probe.GetToken(ctx, opts); err != nil && (ctx.Err() != nil || !mayRecover(err)) {
			return azcore.AccessToken{}, &failure{err}
		}
	}
	token, err := m.cred.GetToken(ctx, opts)
	if err != nil {
		return azcore.AccessToken{}, &failure{err}
	}
	return token, nil
}

// found reports whether cred has ever had a token. It asks the cache, which outlives this credential.
func (m managedIdentity) found() bool {
	for h := range m.cred.Health() {
		if !h.AcquiredOn.IsZero() {
			return true
		}
	}
	return false
}

// mayRecover reports whether IMDS is present and more attempts may get a token.
func mayRecover(err error) bool {
	failed, ok := errors.AsType[*azhost.AuthenticationFailedError](err)
	return ok && (failed.RawResponse == nil || failed.RawResponse.StatusCode > http.StatusForbidden)
}

// failure is azhost's error with the beginning of azidentity's.
type failure struct{ err error }

func (f *failure) Error() string { return "ManagedIdentityCredential: " + f.err.Error() }

// Unwrap returns azhost's error.
func (f *failure) Unwrap() error { return f.err }

// If target has azidentity's type and azhost's error is of the same kind, As sets it to an error with the
// same response.
func (f *failure) As(target any) bool {
	peer, ok := target.(**azidentity.AuthenticationFailedError)
	if !ok {
		return false
	}
	failed, ok := errors.AsType[*azhost.AuthenticationFailedError](f.err)
	if ok {
		*peer = &azidentity.AuthenticationFailedError{RawResponse: failed.RawResponse}
	}
	return ok
}
