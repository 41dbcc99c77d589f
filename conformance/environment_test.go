// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"context"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// GetToken, not the constructor, returns errors in the environment, because one leftover variable must not
// stop a program whose chain would continue.
func TestConstructorAcceptsInvalidVariables(t *testing.T) {
	for _, value := range []string{"test", "https://t .com", `"http://localhost/"`, "${X}", "http://\x7f", "localhost:1", "http://10.0.0.4/", "%%%"} {
		for mask := range 1 << 6 {
			wrong := map[string]string{"IDENTITY_API_VERSION": value, "DEFAULT_IDENTITY_CLIENT_ID": value}
			for bit, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET"} {
				if mask&(1<<bit) != 0 {
					wrong[name] = value
				}
			}
			at(t, wrong)
			cred, err := azhost.NewManagedIdentityCredential(nil)
			require.NoError(t, err, "%q %v", value, wrong)
			if cred.Source() == azhost.SourceIMDS || value == "http://10.0.0.4/" && cred.Source() != azhost.SourceServiceFabric && cred.Source() != azhost.SourceAzureArc {
				continue // the endpoint is valid, so GetToken would send a request
			}
			_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"r"}})
			require.Equal(t, "unavailable", outcome(azcore.AccessToken{}, err), "%q %v: %v", value, wrong, err)
		}
	}
}

// dapr's tests create a credential with an ID while MSI_ENDPOINT isn't a URL. azidentity v1.8.2 accepts
// that. v1.15.0 detects Cloud Shell, where no identity can be selected.
func TestIDWithInvalidVariable(t *testing.T) {
	for name, wrong := range map[string]map[string]string{
		"MSI_ENDPOINT":               {"MSI_ENDPOINT": "test"},
		"IDENTITY_SERVER_THUMBPRINT": {"IDENTITY_ENDPOINT": "https://localhost:2377/token", "IDENTITY_HEADER": "h", "IDENTITY_SERVER_THUMBPRINT": "test"},
	} {
		t.Run(name, func(t *testing.T) {
			at(t, wrong)
			_, err := newAzidentity(azcore.ClientOptions{}, "client", "the-client-id")
			require.Error(t, err)
			requireStated(t, departures+"`GetToken` returns a `CredentialUnavailableError` that names the variable")
			cred, err := newAzhost(azcore.ClientOptions{}, "client", "the-client-id")
			require.NoError(t, err)
			_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"r"}})
			require.Equal(t, "unavailable", outcome(azcore.AccessToken{}, err))
			require.ErrorContains(t, err, name)
		})
	}
}
