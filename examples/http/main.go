// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command http calls an HTTPS service of your own with a bearer token. transport.go is what there
// is to copy; without -url it calls a service in this process, with a fake Azure VM's token.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/azhost/azhost"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "http:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("http", flag.ExitOnError)
	url := flags.String("url", "", "`URL` to get; empty: one in this process, with a fake Azure VM")
	resource := flags.String("resource", "api://orders", "App ID `URI` of the service, which the token is for")
	endpoint := flags.String("endpoint", "", "`URL` of a token endpoint like that of IMDS, instead of this machine's own; takes a -url")
	_ = flags.Parse(args)
	options, base := &azhost.ManagedIdentityCredentialOptions{}, http.DefaultTransport
	switch {
	case *url == "" && *endpoint != "":
		return errors.New("-endpoint takes a -url: the service in this process knows the tokens of its own fake VM only")
	case *url == "":
		laptop, err := newLaptop(*resource)
		if err != nil {
			return err
		}
		defer laptop.close()
		*url, options, base = laptop.service.URL, laptop.vm.Options(), laptop.service.Client().Transport
	case *endpoint != "":
		options.Source, options.Endpoint = azhost.SourceIMDS, *endpoint
	}

	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{
		Transport: &Transport{Host: req.URL.Host, Scope: *resource + "/.default", Credential: cred, Base: base},
		Timeout:   time.Minute,
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s\n", resp.Status, body)
	return nil
}
