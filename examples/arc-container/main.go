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
	"os"
	"os/signal"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

// keys is where compose.yaml mounts the agent's key directory.
const keys = "/run/azcmagent/tokens"

// newCredential returns a credential for a container. An empty endpoint is the agent's usual one.
func newCredential(keys, endpoint string) (*azhost.ManagedIdentityCredential, error) {
	return azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
		Source:          azhost.SourceAzureArc, // a container has neither the agent's files nor its variables
		ArcKeyDirectory: keys,
		Endpoint:        endpoint,
	})
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "arc-container:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("arc-container", flag.ExitOnError)
	directory := flags.String("keys", keys, "`directory` where the agent's key directory is mounted")
	endpoint := flags.String("endpoint", "", "`URL` of the agent's token endpoint (default the usual one on localhost)")
	resource := flags.String("resource", "https://vault.azure.net", "`URI` of the resource that the token is for")
	_ = flags.Parse(args)

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
