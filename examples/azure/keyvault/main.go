// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command keyvault reads a secret from Azure Key Vault with the machine's managed identity.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// readSecret reads the latest version of a secret. On Azure, machine can be nil and options zero.
// You don't set the audience: the client learns it from the vault's initial 401 challenge. The
// identity needs the role Key Vault Secrets User.
func readSecret(ctx context.Context, vault, name string,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (string, error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return "", err
	}
	client, err := azsecrets.NewClient(vault, cred, &azsecrets.ClientOptions{ClientOptions: options})
	if err != nil {
		return "", err
	}
	secret, err := client.GetSecret(ctx, name, "", nil)
	if err != nil {
		return "", err
	}
	return *secret.Value, nil
}

func main() { program.Main("keyvault", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("keyvault", flag.ContinueOnError)
	vault := flags.String("vault", "", "`URL` of the vault, such as https://my-vault.vault.azure.net; if empty, start a fake")
	name := flags.String("secret", "greeting", "`name` of the secret")
	cloud := flags.String("cloud", "public", "`cloud` of the vault: public, usgov, or china")
	if err := program.Parse(flags, out, args, "reads a secret from Azure Key Vault."); err != nil {
		return err
	}
	suffix, ok := map[string]string{"public": ".vault.azure.net", "usgov": ".vault.usgovcloudapi.net", "china": ".vault.azure.cn"}[*cloud]
	if !ok {
		return program.Usagef("-cloud is %q, not public, usgov, or china", *cloud)
	}
	service, err := laptop.Start(vault, func() (*laptop.Service, error) { return laptop.KeyVault(suffix) })
	if err != nil {
		return err
	}
	defer service.Close()

	if !strings.HasSuffix(strings.TrimSuffix(*vault, "/"), suffix) {
		return program.Usagef("-vault %s is not in cloud %s, where vault names end in %s", *vault, *cloud, suffix)
	}
	value, err := readSecret(ctx, *vault, *name, service.Machine, service.Client)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/secrets/%s is %q\n", *vault, *name, value)
	return nil
}
