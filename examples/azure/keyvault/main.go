// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command keyvault reads a secret from Azure Key Vault.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
)

// readSecret is what to copy. A nil machine is the one that the program runs on; the zero options
// are the client's defaults. The audience is not ours to say: the client asks the vault for it,
// whose first answer is a 401 that names it.
func readSecret(ctx context.Context, vault, name string, machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (string, error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return "", err
	}
	client, err := azsecrets.NewClient(vault, cred, &azsecrets.ClientOptions{ClientOptions: options})
	if err != nil {
		return "", err
	}
	secret, err := client.GetSecret(ctx, name, "", nil) // "" is the latest version
	if err != nil {
		return "", err
	}
	return *secret.Value, nil
}

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "keyvault:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("keyvault", flag.ContinueOnError)
	vault := flags.String("vault", "", "URL of the vault, such as https://my-vault.vault.azure.net; empty is a fake on this machine")
	name := flags.String("secret", "greeting", "name of the secret")
	cloud := flags.String("cloud", "public", "the vault's cloud: public, usgov or china")
	if err := flags.Parse(args); err != nil {
		return err
	}
	suffix, ok := map[string]string{"public": ".vault.azure.net", "usgov": ".vault.usgovcloudapi.net", "china": ".vault.azure.cn"}[*cloud]
	if !ok {
		return fmt.Errorf("-cloud %q is none of public, usgov, china", *cloud)
	}

	var machine *azhost.ManagedIdentityCredentialOptions
	var options azcore.ClientOptions
	if *vault == "" {
		fake, err := laptop.KeyVault(suffix)
		if err != nil {
			return err
		}
		defer fake.Close()
		*vault, machine, options = fake.URL, fake.Machine, fake.Client
	}

	if !strings.HasSuffix(strings.TrimSuffix(*vault, "/"), suffix) {
		return fmt.Errorf("-vault %s is not in cloud %s, where names end in %s", *vault, *cloud, suffix)
	}
	value, err := readSecret(ctx, *vault, *name, machine, options)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/secrets/%s is %q\n", *vault, *name, value)
	return nil
}
