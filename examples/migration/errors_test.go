// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package migration

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhostdefault"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// The page's table of what errors.As finds.
func TestErrors(t *testing.T) {
	host := azhosttest.NewAppService(t)
	host.Setenv(t)
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
	host.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) {
		return azhosttest.Fault{Status: http.StatusForbidden, Body: "no"}, true
	})
	alone, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
		UnavailableError: azidentity.NewCredentialUnavailableError,
	})
	require.NoError(t, err)
	chain, err := azidentity.NewChainedTokenCredential([]azcore.TokenCredential{alone}, nil)
	require.NoError(t, err)
	all, err := azhostdefault.NewDefaultAzureCredential(nil)
	require.NoError(t, err)

	for _, test := range []struct {
		name                      string
		cred                      azcore.TokenCredential
		ours, azidentitys, answer bool
	}{
		{"azhost", alone, true, false, true},
		{"azidentity.ChainedTokenCredential", chain, false, true, false},
		{"azhostdefault.DefaultAzureCredential", all, false, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := test.cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
			require.Error(t, err)
			var ours *azhost.AuthenticationFailedError
			var theirs *azidentity.AuthenticationFailedError
			require.Equal(t, test.ours, errors.As(err, &ours))
			require.Equal(t, test.azidentitys, errors.As(err, &theirs))
			var answer *http.Response
			if ours != nil {
				answer = ours.RawResponse
			} else {
				answer = theirs.RawResponse
			}
			require.Equal(t, test.answer, answer != nil)

			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
			defer cancel()
			_, err = test.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
			require.Equal(t, test.ours, errors.Is(err, context.DeadlineExceeded), "%v", err)
		})
	}
}
