// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command blob uploads a blob to Azure Storage with the machine's token, and downloads it again.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
)

// upAndDown is what to copy. A nil machine is the one that the program runs on. Its identity needs
// the role Storage Blob Data Contributor.
func upAndDown(ctx context.Context, account, container, name string, content []byte, machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) ([]byte, error) {
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
	body := blob.NewRetryReader(ctx, nil) // resumes where a connection broke
	defer body.Close()
	return io.ReadAll(body)
}

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "blob:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("blob", flag.ContinueOnError)
	account := flags.String("account", "", "URL of the account, such as https://myaccount.blob.core.windows.net; empty is a fake on this machine")
	container := flags.String("container", "examples", "name of a container that exists")
	if err := flags.Parse(args); err != nil {
		return err
	}

	var machine *azhost.ManagedIdentityCredentialOptions
	var options azcore.ClientOptions
	if *account == "" {
		fake, err := laptop.Blob()
		if err != nil {
			return err
		}
		defer fake.Close()
		*account, machine, options = fake.URL, fake.Machine, fake.Client
	}

	content, err := upAndDown(ctx, *account, *container, "test.txt", []byte("This is a test text file."), machine, options)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/%s/test.txt is %q\n", *account, *container, content)
	return nil
}
