// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command arc-container gets a token in a container on an Azure Arc-enabled server. README.md and
// compose.yaml show what the container needs.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
)

// keys is where compose.yaml mounts the agent's key directory.
const keys = "/run/azcmagent/tokens"

// newCredential returns a credential for a container. An empty endpoint means the agent's usual one.
func newCredential(keys, endpoint string) (*azhost.ManagedIdentityCredential, error) {
	return azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
		Source:          azhost.SourceAzureArc, // a container has neither the agent's files nor its variables
		ArcKeyDirectory: keys,
		Endpoint:        endpoint,
	})
}

func main() { program.Main("arc-container", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("arc-container", flag.ContinueOnError)
	directory := flags.String("keys", keys, "`directory` where the agent's key directory is mounted")
	endpoint := flags.String("endpoint", "", "`URL` of the agent's token endpoint (default: the agent's usual endpoint on localhost)")
	resource := flags.String("resource", "https://vault.azure.net", "`URI` of the resource that the token is for")
	if err := program.Parse(flags, out, args, "gets a token in a container on an Azure Arc-enabled server."); err != nil {
		return err
	}

	cred, err := newCredential(*directory, *endpoint)
	if err != nil {
		return err
	}
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{*resource + "/.default"}})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "a token for %s, valid for %s\n", *resource, time.Until(token.ExpiresOn).Round(time.Minute))
	return nil
}
