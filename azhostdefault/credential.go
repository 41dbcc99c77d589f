// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostdefault

import (
	"context"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// DefaultAzureCredentialOptions are azidentity's options. ClientOptions apply to azhost as they apply to
// azidentity's managed identity credential.
type DefaultAzureCredentialOptions = azidentity.DefaultAzureCredentialOptions

// DefaultAzureCredential tries several credentials in turn and keeps the first that returns a
// token. The package documentation lists them. Create one with [NewDefaultAzureCredential]. It is
// safe for concurrent use.
type DefaultAzureCredential struct {
	chain azcore.TokenCredential
}

var _ azcore.TokenCredential = (*DefaultAzureCredential)(nil)

// NewDefaultAzureCredential reads the environment and returns a credential for it, without using
// the network. Nil options mean the defaults.
//
// It returns azidentity's error if AZURE_TOKEN_CREDENTIALS has an invalid value, or if it isn't set
// and RequireAzureTokenCredentials is true. A credential that can't be constructed isn't an error:
// GetToken skips it and includes the reason in its own error.
func NewDefaultAzureCredential(options *DefaultAzureCredentialOptions) (*DefaultAzureCredential, error) {
	var o DefaultAzureCredentialOptions
	if options != nil {
		o = *options
	}
	// azidentity's credential validates the variables. It is also the one to return if the managed identity
	// would never be used.
	peer, err := azidentity.NewDefaultAzureCredential(&o)
	if err != nil {
		return nil, err
	}
	selected, set := os.LookupEnv("AZURE_TOKEN_CREDENTIALS")
	sources := []azcore.TokenCredential{newManagedIdentity(o.ClientOptions, set)}
	switch {
	case strings.EqualFold(selected, "ManagedIdentityCredential"):
	case !set, selected == "prod":
		production, configured := unconfigured(o)
		if configured {
			return &DefaultAzureCredential{peer}, nil
		}
		sources = append(production, sources...)
		if !set {
			sources = append(sources, developerTools(o)...)
		}
	default:
		return &DefaultAzureCredential{peer}, nil
	}
	chain, err := azidentity.NewChainedTokenCredential(sources, nil)
	if err != nil {
		return nil, err
	}
	return &DefaultAzureCredential{chain}, nil
}

// GetToken returns a token from the first credential that has one, and from then on always from that
// credential. In its errors, errors.As finds an [azidentity.AuthenticationFailedError] if a credential
// failed. If all were unavailable, an outer chain tries its next credential.
func (c *DefaultAzureCredential) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := c.chain.GetToken(ctx, opts)
	if err != nil {
		if text, ok := strings.CutPrefix(err.Error(), "ChainedTokenCredential:"); ok {
			err = &renamed{"DefaultAzureCredential:" + text, err}
		}
	}
	return token, err
}

// renamed is a chain's error with this credential's name, which azidentity's chain doesn't let others set.
type renamed struct {
	text string
	err  error
}

func (r *renamed) Error() string { return r.text }

// Unwrap returns the chain's error.
func (r *renamed) Unwrap() error { return r.err }
