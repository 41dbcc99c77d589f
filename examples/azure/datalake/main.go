// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command datalake uploads a file to Azure Data Lake Storage Gen2, and lists the file system.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azdatalake/filesystem"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
)

// uploadAndList is what to copy. A nil machine is the one that the program runs on. Its identity
// needs the role Storage Blob Data Contributor, or an ACL on the directory.
func uploadAndList(ctx context.Context, fileSystem, path string, content []byte, machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (names []string, err error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return nil, err
	}
	client, err := filesystem.NewClient(fileSystem, cred, &filesystem.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	file := client.NewFileClient(path)
	if _, err := file.Create(ctx, nil); err != nil { // UploadBuffer appends to a file that exists
		return nil, err
	}
	if err := file.UploadBuffer(ctx, content, nil); err != nil {
		return nil, err
	}
	const recursive = true
	for pager := client.NewListPathsPager(recursive, nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, p := range page.Paths {
			names = append(names, *p.Name)
		}
	}
	return names, nil
}

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "datalake:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("datalake", flag.ContinueOnError)
	account := flags.String("account", "", "URL of the account, such as https://myaccount.dfs.core.windows.net; empty is a fake on this machine")
	fileSystem := flags.String("filesystem", "lake", "name of a file system that exists")
	if err := flags.Parse(args); err != nil {
		return err
	}

	var machine *azhost.ManagedIdentityCredentialOptions
	var options azcore.ClientOptions
	if *account == "" {
		fake, err := laptop.DataLake()
		if err != nil {
			return err
		}
		defer fake.Close()
		*account, machine, options = fake.URL, fake.Machine, fake.Client
	}

	names, err := uploadAndList(ctx, *account+"/"+*fileSystem, "TestFolder/Test1.txt", []byte("Test file."), machine, options)
	if err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintln(out, name)
	}
	return nil
}
