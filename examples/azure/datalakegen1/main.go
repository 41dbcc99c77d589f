// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command datalakegen1 uploads a file to Data Lake Storage Gen1 with the machine's managed identity
// and net/http, and lists the root folder. Microsoft retired Gen1 in February 2024. The example
// stays because it shows how to call a service that has no Go client.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// uploadAndList uploads a file and returns the names in the root folder. On Azure, machine and
// transport can be nil. The identity needs an ACL on the folder.
func uploadAndList(ctx context.Context, account, path string, content []byte,
	machine *azhost.ManagedIdentityCredentialOptions, transport http.RoundTripper) ([]string, error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return nil, err
	}
	s := &store{url: account, cred: cred, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if err := s.create(ctx, path, content); err != nil {
		return nil, err
	}
	return s.list(ctx)
}

func main() { program.Main("datalakegen1", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("datalakegen1", flag.ContinueOnError)
	account := flags.String("account", "", "`URL` of the account, such as https://mystore.azuredatalakestore.net; if empty, start a fake")
	if err := program.Parse(flags, out, args, "uploads a file to Data Lake Storage Gen1 and lists the root folder."); err != nil {
		return err
	}
	service, err := laptop.Start(account, laptop.DataLakeGen1)
	if err != nil {
		return err
	}
	defer service.Close()

	names, err := uploadAndList(ctx, *account, "TestFolder/Test1.txt", []byte("Test file.\n"), service.Machine, service.Transport)
	if err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintln(out, name)
	}
	return nil
}
