// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostdefault

import (
	"context"
	"errors"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
)

// managedIdentity is azhost's credential with azidentity's error types.
type managedIdentity struct {
	*azhost.ManagedIdentityCredential
}

func newManagedIdentity(o azcore.ClientOptions) azcore.TokenCredential {
	options := azhost.ManagedIdentityCredentialOptions{
		ClientOptions:    o,
		UnavailableError: azidentity.NewCredentialUnavailableError,
	}
	if id, set := os.LookupEnv("AZURE_CLIENT_ID"); set {
		options.ID = azhost.ClientID(id)
	}
	cred, err := azhost.NewManagedIdentityCredential(&options)
	if err != nil {
		return missing("ManagedIdentityCredential", err)
	}
	return managedIdentity{cred}
}

func (m managedIdentity) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := m.ManagedIdentityCredential.GetToken(ctx, opts)
	if failed, ok := errors.AsType[*azhost.AuthenticationFailedError](err); ok {
		err = &failure{failed}
	}
	return token, err
}

// failure is azhost's error, and azidentity's as well for code that matches that.
type failure struct {
	*azhost.AuthenticationFailedError
}

// Unwrap returns azhost's error.
func (f *failure) Unwrap() error { return f.AuthenticationFailedError }

// As sets target, if it is azidentity's type, to an error with the same response.
func (f *failure) As(target any) bool {
	peer, ok := target.(**azidentity.AuthenticationFailedError)
	if ok {
		*peer = &azidentity.AuthenticationFailedError{RawResponse: f.RawResponse}
	}
	return ok
}
