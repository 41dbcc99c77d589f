// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command blob uploads a blob to Azure Storage with the machine's managed identity, and downloads it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// upAndDown uploads a blob and downloads it. On Azure, machine can be nil and options zero. The
// identity needs the role Storage Blob Data Contributor.
func upAndDown(ctx context.Context, account, container, name string, content []byte,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) ([]byte, error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return nil, err
	}
	client, err := azblob.NewClient(account, cred, &azblob.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	if _, err := client.UploadBuffer(ctx, container, name, content, nil); err != nil {
		return nil, err
	}
	blob, err := client.DownloadStream(ctx, container, name, nil)
	if err != nil {
		return nil, err
	}
	body := blob.NewRetryReader(ctx, nil) // resumes the download if the connection breaks
	defer body.Close()
	return io.ReadAll(body)
}

func main() { program.Main("blob", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("blob", flag.ContinueOnError)
	account := flags.String("account", "", "`URL` of the account, such as https://myaccount.blob.core.windows.net; if empty, start a fake")
	container := flags.String("container", "examples", "`name` of an existing container")
	if err := program.Parse(flags, out, args, "uploads a blob to Azure Storage and downloads it."); err != nil {
		return err
	}
	service, err := laptop.Start(account, laptop.Blob)
	if err != nil {
		return err
	}
	defer service.Close()

	content, err := upAndDown(ctx, *account, *container, "test.txt", []byte("This is a test text file."), service.Machine, service.Client)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/%s/test.txt is %q\n", *account, *container, content)
	return nil
}
