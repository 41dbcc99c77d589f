// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command chain reads a secret with the machine's managed identity or, on a machine that has none,
// as the user who is signed in to the Azure CLI. The same program runs on servers and laptops.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// newChain returns a chain that tries the managed identity, then the Azure CLI. The chain tries its
// next credential only after an error that azidentity created, so azhost needs UnavailableError to
// create one. On Azure, machine can be zero.
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

func main() { program.Main("chain", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("chain", flag.ContinueOnError)
	vault := flags.String("vault", "", "`URL` of the vault, such as https://my-vault.vault.azure.net; if empty, start a fake vault and a fake az")
	name := flags.String("secret", "greeting", "`name` of the secret")
	if err := program.Parse(flags, out, args, "reads a secret with the managed identity or, without one, as the Azure CLI's user."); err != nil {
		return err
	}
	service, err := laptop.Start(vault, func() (*laptop.Service, error) { return laptop.AzureCLI(ctx) })
	if err != nil {
		return err
	}
	defer service.Close()

	cred, err := newChain(*service.Machine)
	if err != nil {
		return err
	}
	client, err := azsecrets.NewClient(*vault, cred, &azsecrets.ClientOptions{ClientOptions: service.Client})
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
