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

// managedIdentity is azhost's credential with azidentity's error types. If there are two, the first
// makes one attempt and the second waits for the host.
type managedIdentity []*azhost.ManagedIdentityCredential

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
		return managedIdentity{cred}
	}
	// A developer's VM, a build agent or a pod may have no access to IMDS, for which azhost would wait.
	options.Retry.MaxRetries = -1
	once, err := azhost.NewManagedIdentityCredential(&options)
	if err != nil {
		return missing("ManagedIdentityCredential", err)
	}
	return managedIdentity{once, cred}
}

func (m managedIdentity) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (token azcore.AccessToken, err error) {
	for _, cred := range m {
		token, err = cred.GetToken(ctx, opts)
		failed, ok := errors.AsType[*azhost.AuthenticationFailedError](err)
		if !ok {
			return token, err
		}
		err = &failure{failed}
		if ctx.Err() != nil || failed.RawResponse != nil && failed.RawResponse.StatusCode <= http.StatusForbidden {
			return token, err // waiting wouldn't help
		}
	}
	return token, err
}

// failure is azhost's error. errors.As finds azidentity's type in it too.
type failure struct {
	*azhost.AuthenticationFailedError
}

// Unwrap returns azhost's error.
func (f *failure) Unwrap() error { return f.AuthenticationFailedError }

// If target has azidentity's type, As sets it to an error with the same response.
func (f *failure) As(target any) bool {
	peer, ok := target.(**azidentity.AuthenticationFailedError)
	if ok {
		*peer = &azidentity.AuthenticationFailedError{RawResponse: f.RawResponse}
	}
	return ok
}
