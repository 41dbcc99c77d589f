// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command http calls your own HTTPS service with a bearer token. Copy transport.go. Without -url, the
// command calls a service that it starts on localhost, with a token from a fake Azure VM.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
)

// newClient returns a client that sends the machine's tokens for resource to host, and to no other host.
func newClient(host, resource string, options *azhost.ManagedIdentityCredentialOptions, base http.RoundTripper) (*http.Client, error) {
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Transport: &Transport{Host: host, Scope: resource + "/.default", Credential: cred, Base: base},
		Timeout:   time.Minute,
	}, nil
}

func main() { program.Main("http", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("http", flag.ContinueOnError)
	url := flags.String("url", "", "`URL` to get (default: a service that the command starts, with a fake Azure VM)")
	resource := flags.String("resource", "api://orders", "App ID `URI` of the service that the token is for")
	if err := program.Parse(flags, out, args, "calls an HTTPS service with a token."); err != nil {
		return err
	}
	options, base := &azhost.ManagedIdentityCredentialOptions{}, http.DefaultTransport
	if *url == "" {
		laptop, err := newLaptop(*resource)
		if err != nil {
			return err
		}
		defer laptop.close()
		*url, options, base = laptop.service.URL, laptop.vm.Options(), laptop.service.Client().Transport
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, *url, nil)
	if err != nil {
		return err
	}
	client, err := newClient(req.URL.Host, *resource, options, base)
	if err != nil {
		return err
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
