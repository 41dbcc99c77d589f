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
func TestWrongVariablesAreNotTheConstructors(t *testing.T) {
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

// As in azidentity v1.15.0, the constructor returns an error for an ID where Cloud Shell's variable is set,
// because Cloud Shell has no identity to select. azidentity v1.8 accepted it, and dapr's own tests rely on
// that.
func TestLeftoverVariableAndID(t *testing.T) {
	at(t, map[string]string{"MSI_ENDPOINT": "test"})
	for library, make := range map[string]maker{"azidentity": newAzidentity, "azhost": newAzhost} {
		_, err := make(azcore.ClientOptions{}, "client", "the-client-id")
		require.ErrorContains(t, err, "Cloud Shell", library)
		_, err = make(azcore.ClientOptions{}, "", "")
		require.NoError(t, err, library)
	}
}
