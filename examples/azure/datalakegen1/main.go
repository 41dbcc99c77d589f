// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command datalakegen1 lists a Data Lake Store (Gen1) and uploads a file to it, with net/http
// alone. Microsoft retired Gen1 in February 2024; for new work see the example datalake. It stays
// because it shows how to call any service that has no Go client.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
)

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "datalakegen1:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("datalakegen1", flag.ContinueOnError)
	account := flags.String("account", "", "URL of the store, such as https://mystore.azuredatalakestore.net; empty is a fake on this machine")
	if err := flags.Parse(args); err != nil {
		return err
	}

	var machine *azhost.ManagedIdentityCredentialOptions
	transport := http.DefaultTransport
	if *account == "" {
		fake, err := laptop.DataLakeGen1()
		if err != nil {
			return err
		}
		defer fake.Close()
		*account, machine, transport = fake.URL, fake.Machine, fake.Transport
	}

	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	s := &store{url: *account, cred: cred, client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if err := s.create(ctx, "TestFolder/Test1.txt", []byte("Test file.\n")); err != nil {
		return err
	}
	names, err := s.list(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintln(out, name)
	}
	return nil
}
