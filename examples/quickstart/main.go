// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command quickstart gets a token and calls a service with it. By default, it uses a fake Arc agent on
// localhost, so it works on any machine. With -real, it gets the token from the machine's own host.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
)

// hello creates a credential and calls the service with its token. Your own program needs only this, and an
// Azure SDK client creates the pipeline for you.
func hello(ctx context.Context, l *laptop) (*http.Response, *azhost.ManagedIdentityCredential, error) {
	cred, err := azhost.NewManagedIdentityCredential(l.options)
	if err != nil {
		return nil, nil, err
	}
	client := runtime.NewPipeline("quickstart", "v0.1.0", runtime.PipelineOptions{
		PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(cred, []string{l.scope}, nil)},
	}, &azcore.ClientOptions{Transport: l.service.Client()})
	req, err := runtime.NewRequest(ctx, http.MethodGet, l.service.URL)
	if err != nil {
		return nil, nil, err
	}
	resp, err := client.Do(req)
	return resp, cred, err
}

func main() { program.Main("quickstart", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	realHost := flags.Bool("real", false, "get the token from this machine's own host, instead of a fake Arc agent")
	resource := flags.String("resource", "https://vault.azure.net", "`URI` of the resource that the token is for")
	if err := program.Parse(flags, out, args, "gets a token and calls a service with it."); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	l, err := newLaptop(*realHost, *resource)
	if err != nil {
		return err
	}
	defer l.close()

	resp, cred, err := hello(ctx, l)
	if err != nil {
		return err
	}
	answer, err := runtime.Payload(resp)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the service returned %s: %s", resp.Status, answer)
	}
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{l.scope}}) // cached
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "host       %s%s\n", cred.Source(), l.note)
	fmt.Fprintf(out, "resource   %s\n", *resource)
	fmt.Fprintf(out, "expires    %s, in %s\n", token.ExpiresOn.UTC().Format(time.RFC3339), time.Until(token.ExpiresOn).Round(time.Minute))
	if token.RefreshOn.IsZero() {
		fmt.Fprintf(out, "refreshed  in the last minutes before that\n")
	} else {
		fmt.Fprintf(out, "refreshed  from %s, in the background\n", token.RefreshOn.UTC().Format(time.RFC3339))
	}
	fmt.Fprintf(out, "service    %s: %s\n", resp.Status, answer)
	return nil
}
