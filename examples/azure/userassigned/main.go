// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command userassigned reads a secret with a user-assigned managed identity, which is selected by
// its client ID, object ID, or resource ID.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// readSecret reads a secret with the identity that id selects: an azhost.ClientID, azhost.ObjectID,
// or azhost.ResourceID. On Azure, machine and options can be zero. The identity needs the role Key
// Vault Secrets User.
func readSecret(ctx context.Context, vault, name string, id azhost.ManagedIDKind,
	machine azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (string, error) {
	machine.ID = id
	cred, err := azhost.NewManagedIdentityCredential(&machine)
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

func main() { program.Main("userassigned", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("userassigned", flag.ContinueOnError)
	vault := flags.String("vault", "", "`URL` of the vault, such as https://my-vault.vault.azure.net; if empty, start a fake")
	name := flags.String("secret", "greeting", "`name` of the secret")
	var ids []azhost.ManagedIDKind
	flags.Func("client-id", "client `ID` of the identity", func(s string) error { ids = append(ids, azhost.ClientID(s)); return nil })
	flags.Func("object-id", "object (principal) `ID` of the identity", func(s string) error { ids = append(ids, azhost.ObjectID(s)); return nil })
	flags.Func("resource-id", "resource `ID` of the identity", func(s string) error { ids = append(ids, azhost.ResourceID(s)); return nil })
	if err := program.Parse(flags, out, args, "reads a secret with a user-assigned identity. Select it with one of the ID flags."); err != nil {
		return err
	}
	if len(ids) != 1 {
		return program.Usagef("set exactly one of -client-id, -object-id, and -resource-id")
	}
	service, err := laptop.Start(vault, laptop.UserAssigned)
	if err != nil {
		return err
	}
	defer service.Close()

	value, err := readSecret(ctx, *vault, *name, ids[0], *service.Machine, service.Client)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/secrets/%s is %q\n", *vault, *name, value)
	return nil
}
