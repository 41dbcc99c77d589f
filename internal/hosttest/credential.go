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

// Credential returns a credential that sends its requests to w. adjust changes its options.
func Credential(t *testing.T, w policy.Transporter, adjust ...func(*azhost.ManagedIdentityCredentialOptions)) *azhost.ManagedIdentityCredential {
	t.Helper()
	return create(t, &azhost.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: w}}, adjust)
}

// OnVM returns a credential for a VM whose IMDS is w. It sets Endpoint, so that azhost doesn't read the
// firmware of the machine that runs the tests.
func OnVM(t *testing.T, w policy.Transporter, adjust ...func(*azhost.ManagedIdentityCredentialOptions)) *azhost.ManagedIdentityCredential {
	t.Helper()
	return create(t, &azhost.ManagedIdentityCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: w},
		Source:        azhost.SourceIMDS,
		Endpoint:      "http://169.254.169.254/metadata/identity/oauth2/token",
	}, adjust)
}

// Known adjusts [OnVM] to a VM that azhost knows to be on Azure, so that it retries before IMDS has responded.
func Known(o *azhost.ManagedIdentityCredentialOptions) { o.Endpoint = "" }

// OnArc returns a credential for an Arc server, in memory.
func OnArc(t *testing.T, a *azhosttest.Arc, adjust ...func(*azhost.ManagedIdentityCredentialOptions)) *azhost.ManagedIdentityCredential {
	t.Helper()
	return create(t, a.InMemory(), adjust)
}

// ArcOptions returns options for an Arc agent that is w.
func ArcOptions(w *Wire, keyDirectory string) *azhost.ManagedIdentityCredentialOptions {
	o := &azhost.ManagedIdentityCredentialOptions{
		Source: azhost.SourceAzureArc, Endpoint: "http://127.0.0.1:40342/metadata/identity/oauth2/token", ArcKeyDirectory: keyDirectory,
	}
	o.Transport = w
	return o
}

// OnPlatform sets the environment variables of source, and returns a credential whose requests go to w, or the
// constructor's error.
func OnPlatform(t *testing.T, source azhost.Source, w *Wire, adjust ...func(*azhost.ManagedIdentityCredentialOptions)) (*azhost.ManagedIdentityCredential, error) {
	t.Helper()
	SetHost(t, source)
	o := &azhost.ManagedIdentityCredentialOptions{}
	o.Transport = w
	if source == azhost.SourceServiceFabric {
		o.Transport = nil // azhost can check the certificate only with its own transport or an *http.Client
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

// RequireUnavailable returns the CredentialUnavailableError in err. It fails the test if there is none.
func RequireUnavailable(t *testing.T, err error) *azhost.CredentialUnavailableError {
	t.Helper()
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
	return unavailable
}

// RequireFailed returns the AuthenticationFailedError in err. It fails the test if there is none.
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
