// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command sas gets a shared access signature (SAS) for a storage container from Azure Resource
// Manager, and uploads and downloads a blob with it. The machine's identity needs no right to the
// data, only to the account: the role Storage Account Contributor.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
)

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sas:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("sas", flag.ContinueOnError)
	account := flags.String("account", "", "name of the storage account; empty is a fake on this machine")
	subscription := flags.String("subscription", laptop.Subscription, "ID of the account's subscription")
	group := flags.String("group", laptop.Group, "name of the account's resource group, in its exact case")
	container := flags.String("container", "examples", "name of a container that exists")
	if err := flags.Parse(args); err != nil {
		return err
	}

	var machine *azhost.ManagedIdentityCredentialOptions
	var options azcore.ClientOptions
	if *account == "" {
		fake, err := laptop.SAS()
		if err != nil {
			return err
		}
		defer fake.Close()
		*account, machine, options = laptop.Account, fake.Machine, fake.Client
	}

	storageAccount := "/subscriptions/" + *subscription + "/resourceGroups/" + *group + "/providers/Microsoft.Storage/storageAccounts/" + *account
	signature, err := listServiceSAS(ctx, storageAccount, *container, time.Now().Add(10*time.Minute), machine, options)
	if err != nil {
		return err
	}
	url := "https://" + *account + ".blob.core.windows.net/" + *container
	content, err := upAndDown(ctx, url, signature, "testblob", []byte("This is a test text file."), options)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/testblob is %q\n", url, content)
	return nil
}
