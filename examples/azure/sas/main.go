// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command sas gets a shared access signature (SAS) for a storage container from Azure Resource
// Manager with the machine's managed identity, then uploads and downloads a blob with the SAS. The
// identity needs no access to the data, only the role Storage Account Contributor.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// upAndDown uploads a blob with a SAS from listServiceSAS, and downloads it.
func upAndDown(ctx context.Context, containerURL, signature, name string, content []byte, options azcore.ClientOptions) (_ []byte, err error) {
	defer func() {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // u's text includes the URL, and so the signature, which is a secret
		}
	}()
	client, err := container.NewClientWithNoCredential(containerURL+"?"+signature, &container.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	blob := client.NewBlockBlobClient(name)
	if _, err := blob.UploadBuffer(ctx, content, nil); err != nil {
		return nil, err
	}
	resp, err := blob.DownloadStream(ctx, nil)
	if err != nil {
		return nil, err
	}
	body := resp.NewRetryReader(ctx, nil)
	defer body.Close()
	return io.ReadAll(body)
}

func main() { program.Main("sas", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("sas", flag.ContinueOnError)
	account := flags.String("account", "", "`name` of the storage account; if empty, start a fake")
	subscription := flags.String("subscription", laptop.Subscription, "`ID` of the account's subscription")
	group := flags.String("group", laptop.Group, "`name` of the account's resource group, in its exact case")
	container := flags.String("container", "examples", "`name` of an existing container")
	if err := program.Parse(flags, out, args, "uploads a blob with a SAS from Resource Manager, and downloads it."); err != nil {
		return err
	}
	service, err := laptop.Start(account, laptop.SAS)
	if err != nil {
		return err
	}
	defer service.Close()

	resource := "/subscriptions/" + *subscription + "/resourceGroups/" + *group + "/providers/Microsoft.Storage/storageAccounts/" + *account
	signature, err := listServiceSAS(ctx, resource, *container, time.Now().Add(10*time.Minute), service.Machine, service.Client)
	if err != nil {
		return err
	}
	url := "https://" + *account + ".blob.core.windows.net/" + *container
	content, err := upAndDown(ctx, url, signature, "testblob", []byte("This is a test text file."), service.Client)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/testblob is %q\n", url, content)
	return nil
}
