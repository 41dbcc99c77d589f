// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package migration

import (
	"os"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/azhostdefault"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// A pod that the webhook didn't change acts as the node, unless AZURE_TOKEN_CREDENTIALS forbids it.
// App Service stands for the node's IMDS, because environment variables lead to its fake.
func TestPodWithoutLabel(t *testing.T) {
	node := azhosttest.NewAppService(t)
	node.Setenv(t)
	for _, name := range []string{"AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"} {
		t.Setenv(name, "") // restores it after the test
		require.NoError(t, os.Unsetenv(name))
	}
	get := func(scope string) error {
		cred, err := azhostdefault.NewDefaultAzureCredential(nil)
		require.NoError(t, err)
		_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
		return err
	}
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "prod")
	require.NoError(t, get("https://vault.azure.net/.default"))
	node.RequireRequests(t, 1)

	t.Setenv("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential")
	require.ErrorContains(t, get("https://storage.azure.com/.default"), "WorkloadIdentityCredential: no client ID specified")
	node.RequireRequests(t, 1)
}
