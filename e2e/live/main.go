// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command live checks azhost's promises on a real Azure host and prints a record for
// docs/verified.md:
//
//	go run ./live -host "Azure VM, Ubuntu 24.04"
//
// The host needs a managed identity, which needs no permissions. The program sends about ten token
// requests to the host's own endpoint, contacts nothing else, and ends within ten minutes.
//
// The record has statuses, header names, the names and JSON types of fields, and times, but no
// values: no tokens and no IDs. Errors, which can name identities, go to standard error.
//
// It exits with 1 if a promise doesn't hold or can't be checked, and with 2 if a flag is wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/azhost/azhost"
)

// limit is how long all the checks together can take.
const limit = 10 * time.Minute

func main() {
	host := flag.String("host", "", "the kind of host, such as \"Azure VM, Ubuntu 24.04\" (required)")
	resource := flag.String("resource", "https://management.azure.com/", "the resource to get tokens for")
	clientID := flag.String("client-id", "", "also get a token for the user-assigned identity with this client ID")
	flag.Parse()
	if *host == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	c := &checker{resource: *resource, clientID: *clientID, errors: os.Stderr, options: func() *azhost.ManagedIdentityCredentialOptions {
		return &azhost.ManagedIdentityCredentialOptions{}
	}}
	if err := report(ctx, os.Stdout, *host, c); err != nil {
		fmt.Fprintln(os.Stderr, "live:", err)
		os.Exit(1)
	}
}

// report runs the checks and writes their record to w. It returns an error if one of them failed.
func report(ctx context.Context, w io.Writer, host string, c *checker) error {
	c.run(ctx)
	r := record{
		host: host, source: c.source, agent: agent(ctx, c.source, c.watch.server()), date: time.Now().UTC(),
		checks: c.checks, answers: c.watch.distinct(),
	}
	if _, err := io.WriteString(w, r.markdown()); err != nil {
		return err
	}
	for _, check := range c.checks {
		if !check.held {
			return errors.New("not every promise held; the errors above say why, and are not part of the record")
		}
	}
	return nil
}
