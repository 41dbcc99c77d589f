// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command chain reads a secret as the machine where there is a managed identity, and as the user
// who has signed in with the Azure CLI where there is none: one binary for server and laptop.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
)

// newChain is what to copy. Only azidentity can make the error that its chain goes on for, which
// is what UnavailableError is for. The fields of machine that are zero mean the machine that the
// program runs on.
func newChain(machine azhost.ManagedIdentityCredentialOptions) (*azidentity.ChainedTokenCredential, error) {
	machine.UnavailableError = azidentity.NewCredentialUnavailableError
	host, err := azhost.NewManagedIdentityCredential(&machine)
	if err != nil {
		return nil, err
	}
	cli, err := azidentity.NewAzureCLICredential(nil)
	if err != nil {
		return nil, err
	}
	return azidentity.NewChainedTokenCredential([]azcore.TokenCredential{host, cli}, nil)
}

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chain:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("chain", flag.ContinueOnError)
	vault := flags.String("vault", "", "URL of the vault, such as https://my-vault.vault.azure.net; empty is a fake on this machine")
	name := flags.String("secret", "greeting", "name of the secret")
	if err := flags.Parse(args); err != nil {
		return err
	}

	var machine azhost.ManagedIdentityCredentialOptions
	var options azcore.ClientOptions
	if *vault == "" {
		fake, err := laptop.AzureCLI(ctx)
		if err != nil {
			return err
		}
		defer fake.Close()
		*vault, machine, options = fake.URL, *fake.Machine, fake.Client
	}

	cred, err := newChain(machine)
	if err != nil {
		return err
	}
	client, err := azsecrets.NewClient(*vault, cred, &azsecrets.ClientOptions{ClientOptions: options})
	if err != nil {
		return err
	}
	secret, err := client.GetSecret(ctx, *name, "", nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/secrets/%s is %q\n", *vault, *name, *secret.Value)
	return nil
}
