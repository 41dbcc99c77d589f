// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostdefault

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// unavailable stands in for a credential that couldn't be constructed.
type unavailable struct{ err error }

func missing(name string, err error) azcore.TokenCredential {
	return unavailable{azidentity.NewCredentialUnavailableError(name + ": " + err.Error())}
}

func (u unavailable) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{}, u.err
}

// unconfigured returns placeholders for the two credentials before the managed identity. If either is
// configured, it returns true instead, because that credential ends the search: it returns a token or fails.
func unconfigured(o DefaultAzureCredentialOptions) (sources []azcore.TokenCredential, configured bool) {
	_, environment := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{
		ClientOptions: o.ClientOptions,
	})
	_, workload := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
		ClientOptions: o.ClientOptions,
		TenantID:      o.TenantID,
	})
	if environment == nil || workload == nil {
		return nil, true
	}
	return []azcore.TokenCredential{
		missing("EnvironmentCredential", environment),
		missing("WorkloadIdentityCredential", workload),
	}, false
}

// developerTools returns the credentials after the managed identity.
func developerTools(o DefaultAzureCredentialOptions) []azcore.TokenCredential {
	tenants := o.AdditionallyAllowedTenants
	if list := os.Getenv("AZURE_ADDITIONALLY_ALLOWED_TENANTS"); len(tenants) == 0 && list != "" {
		tenants = strings.Split(list, ";")
	}
	cli, cliErr := azidentity.NewAzureCLICredential(&azidentity.AzureCLICredentialOptions{
		AdditionallyAllowedTenants: tenants, TenantID: o.TenantID,
	})
	azd, azdErr := azidentity.NewAzureDeveloperCLICredential(&azidentity.AzureDeveloperCLICredentialOptions{
		AdditionallyAllowedTenants: tenants, TenantID: o.TenantID,
	})
	powerShell, powerShellErr := azidentity.NewAzurePowerShellCredential(&azidentity.AzurePowerShellCredentialOptions{
		AdditionallyAllowedTenants: tenants, TenantID: o.TenantID,
	})
	return []azcore.TokenCredential{
		tool("AzureCLICredential", cli, cliErr),
		tool("AzureDeveloperCLICredential", azd, azdErr),
		tool("AzurePowerShellCredential", powerShell, powerShellErr),
	}
}

func tool(name string, cred azcore.TokenCredential, err error) azcore.TokenCredential {
	if err != nil {
		return missing(name, err)
	}
	return developerTool{cred}
}

// developerTool is the credential of a developer tool. Its failures don't end the search, as in azidentity's
// own DefaultAzureCredential.
type developerTool struct{ azcore.TokenCredential }

func (d developerTool) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := d.TokenCredential.GetToken(ctx, opts)
	if err != nil && d.runs(opts) {
		err = azidentity.NewCredentialUnavailableError(err.Error())
	}
	return token, err
}

// runs reports whether the credential runs its tool for a request. A request that it rejects
// before that, such as one for a tenant that isn't allowed, ends the search.
func (d developerTool) runs(opts policy.TokenRequestOptions) bool {
	canceled, cancel := context.WithCancel(context.Background())
	cancel() // a tool doesn't start with a canceled context, which azidentity reports as this type
	_, err := d.TokenCredential.GetToken(canceled, opts)
	return errors.As(err, new(*azidentity.AuthenticationFailedError))
}
