// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command userassigned reads a secret as a user-assigned identity, which is named by its client
// ID, its object ID or its resource ID.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
)

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "userassigned:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("userassigned", flag.ContinueOnError)
	vault := flags.String("vault", "", "URL of the vault, such as https://my-vault.vault.azure.net; empty is a fake on this machine")
	name := flags.String("secret", "greeting", "name of the secret")
	var ids []azhost.ManagedIDKind // what to copy: one of the three kinds goes to the options
	flags.Func("client-id", "client ID of the identity", func(s string) error { ids = append(ids, azhost.ClientID(s)); return nil })
	flags.Func("object-id", "object (principal) ID of the identity", func(s string) error { ids = append(ids, azhost.ObjectID(s)); return nil })
	flags.Func("resource-id", "resource ID of the identity", func(s string) error { ids = append(ids, azhost.ResourceID(s)); return nil })
	if err := flags.Parse(args); err != nil {
		return err
	}

	var machine azhost.ManagedIdentityCredentialOptions
	var options azcore.ClientOptions
	if *vault == "" {
		fake, err := laptop.UserAssigned()
		if err != nil {
			return err
		}
		defer fake.Close()
		*vault, machine, options = fake.URL, *fake.Machine, fake.Client
		if len(ids) == 0 {
			ids = append(ids, azhost.ClientID(laptop.App().ClientID))
		}
	}

	if len(ids) != 1 {
		return errors.New("give one of -client-id, -object-id, -resource-id")
	}
	machine.ID = ids[0]
	cred, err := azhost.NewManagedIdentityCredential(&machine)
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
