// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package hosttest

import (
	"context"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// Vault is the resource that [Token] requests.
const Vault = "https://vault.azure.net"

// Credential returns a credential with options that adjust changes. Its host is w.
func Credential(t *testing.T, w policy.Transporter, adjust ...func(*azhost.ManagedIdentityCredentialOptions)) *azhost.ManagedIdentityCredential {
	t.Helper()
	return create(t, &azhost.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: w}}, adjust)
}

// OnVM returns a credential for a VM whose IMDS is w. It sets Endpoint, so that tests don't depend on the
// firmware of the machine that runs them.
func OnVM(t *testing.T, w policy.Transporter, adjust ...func(*azhost.ManagedIdentityCredentialOptions)) *azhost.ManagedIdentityCredential {
	t.Helper()
	return create(t, &azhost.ManagedIdentityCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: w},
		Source:        azhost.SourceIMDS,
		Endpoint:      "http://169.254.169.254/metadata/identity/oauth2/token",
	}, adjust)
}

// Known adjusts [OnVM] to a known VM, on which azhost waits for IMDS before its first response.
func Known(o *azhost.ManagedIdentityCredentialOptions) { o.Endpoint = "" }

// OnArc returns a credential for an Arc server, in memory.
func OnArc(t *testing.T, a *azhosttest.Arc, adjust ...func(*azhost.ManagedIdentityCredentialOptions)) *azhost.ManagedIdentityCredential {
	t.Helper()
	return create(t, a.InMemory(), adjust)
}

// ArcOptions returns options for an Arc server whose agent is w.
func ArcOptions(w *Wire, keyDirectory string) *azhost.ManagedIdentityCredentialOptions {
	o := &azhost.ManagedIdentityCredentialOptions{
		Source: azhost.SourceAzureArc, Endpoint: "http://127.0.0.1:40342/metadata/identity/oauth2/token", ArcKeyDirectory: keyDirectory,
	}
	o.Transport = w
	return o
}

// OnPlatform returns a credential for a platform whose endpoint is w, and the constructor's error.
func OnPlatform(t *testing.T, source azhost.Source, w *Wire, adjust ...func(*azhost.ManagedIdentityCredentialOptions)) (*azhost.ManagedIdentityCredential, error) {
	t.Helper()
	SetHost(t, source)
	o := &azhost.ManagedIdentityCredentialOptions{}
	o.Transport = w
	if source == azhost.SourceServiceFabric {
		o.Transport = nil // Service Fabric requires an *http.Client
	}
	for _, f := range adjust {
		f(o)
	}
	return azhost.NewManagedIdentityCredential(o)
}

func create(t *testing.T, o *azhost.ManagedIdentityCredentialOptions, adjust []func(*azhost.ManagedIdentityCredentialOptions)) *azhost.ManagedIdentityCredential {
	t.Helper()
	for _, f := range adjust {
		f(o)
	}
	cred, err := azhost.NewManagedIdentityCredential(o)
	require.NoError(t, err)
	return cred
}

// Token requests a token for [Vault].
func Token(ctx context.Context, cred *azhost.ManagedIdentityCredential) (azcore.AccessToken, error) {
	return cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{Vault + "/.default"}})
}

// RequireUnavailable returns err as a CredentialUnavailableError, and fails the test if it isn't one.
func RequireUnavailable(t *testing.T, err error) *azhost.CredentialUnavailableError {
	t.Helper()
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
	return unavailable
}

// RequireFailed returns err as an AuthenticationFailedError, and fails the test if it isn't one.
func RequireFailed(t *testing.T, err error) *azhost.AuthenticationFailedError {
	t.Helper()
	var failed *azhost.AuthenticationFailedError
	require.ErrorAs(t, err, &failed)
	return failed
}

// PolicyFunc is a policy.
type PolicyFunc func(*policy.Request) (*http.Response, error)

// Do calls f.
func (f PolicyFunc) Do(req *policy.Request) (*http.Response, error) { return f(req) }

// PassOn is a policy that does nothing.
type PassOn struct{}

// Do passes the request on.
func (PassOn) Do(req *policy.Request) (*http.Response, error) { return req.Next() }
