// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command datalake uploads a file to Azure Data Lake Storage Gen2 with the machine's managed
// identity, and lists the file system.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azdatalake/filesystem"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// uploadAndList uploads a file and returns the paths in the file system. On Azure, machine can be
// nil and options zero. The identity needs the role Storage Blob Data Contributor, or an ACL on the
// directory.
func uploadAndList(ctx context.Context, fileSystem, path string, content []byte,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (names []string, err error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return nil, err
	}
	client, err := filesystem.NewClient(fileSystem, cred, &filesystem.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	file := client.NewFileClient(path)
	if _, err := file.Create(ctx, nil); err != nil { // UploadBuffer only appends to an existing file
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

func main() { program.Main("datalake", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("datalake", flag.ContinueOnError)
	account := flags.String("account", "", "`URL` of the account, such as https://myaccount.dfs.core.windows.net; if empty, start a fake")
	fileSystem := flags.String("filesystem", "lake", "`name` of an existing file system")
	if err := program.Parse(flags, out, args, "uploads a file to Data Lake Storage Gen2 and lists the file system."); err != nil {
		return err
	}
	service, err := laptop.Start(account, laptop.DataLake)
	if err != nil {
		return err
	}
	defer service.Close()

	names, err := uploadAndList(ctx, *account+"/"+*fileSystem, "TestFolder/Test1.txt", []byte("Test file."), service.Machine, service.Client)
	if err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintln(out, name)
	}
	return nil
}
