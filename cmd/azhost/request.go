// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/azhost/azhost"
)

// request is a token to request and the host to request it from: the options that token and doctor share.
type request struct {
	resource, cloud                   string
	clientID, objectID, resourceID    string
	source, endpoint, arcKeyDirectory string
	timeout                           time.Duration
}

func (r *request) flags(flags *flag.FlagSet, timeout time.Duration) {
	flags.StringVar(&r.resource, "resource", "", "")
	flags.StringVar(&r.cloud, "cloud", "public", "")
	flags.StringVar(&r.clientID, "client-id", "", "")
	flags.StringVar(&r.objectID, "object-id", "", "")
	flags.StringVar(&r.resourceID, "resource-id", "", "")
	flags.StringVar(&r.source, "source", "", "")
	flags.StringVar(&r.endpoint, "endpoint", "", "")
	flags.StringVar(&r.arcKeyDirectory, "arc-key-directory", "", "")
	flags.DurationVar(&r.timeout, "timeout", timeout, "")
}

// resolve completes the request with the operand or, without one, with usual, and checks what doesn't depend
// on the host.
func (r *request) resolve(args arguments, usual string) error {
	operand, err := args.one()
	switch {
	case err != nil:
		return err
	case operand != "" && r.resource != "":
		return usagef("unexpected argument %q; --resource already names the resource", operand)
	case operand != "":
		r.resource = operand
	case r.resource == "":
		r.resource = usual
	}
	if r.resource == "" {
		return usagef("the resource is missing; write for example \"azhost token vault\" or \"azhost token https://vault.azure.net\"")
	}
	if r.resource, err = resolveResource(r.resource, r.cloud); err != nil {
		return err
	}
	selectors := 0
	for _, id := range []string{r.clientID, r.objectID, r.resourceID} {
		if id != "" {
			selectors++
		}
	}
	switch {
	case selectors > 1:
		return usagef("use only one of --client-id, --object-id, and --resource-id")
	case r.timeout <= 0:
		return usagef("--timeout %s isn't positive", r.timeout)
	}
	if r.source == "" {
		return nil
	}
	for _, known := range sources() {
		if strings.EqualFold(r.source, known) {
			r.source = known
			return nil
		}
	}
	return oneOf("--source", r.source, "a host", sources())
}

func sources() []string {
	return []string{
		string(azhost.SourceIMDS), string(azhost.SourceAzureArc), string(azhost.SourceAppService),
		string(azhost.SourceServiceFabric), string(azhost.SourceCloudShell), string(azhost.SourceAzureML),
	}
}

// target returns the resource without the suffix of a scope.
func (r *request) target() string { return strings.TrimSuffix(r.resource, "/.default") }

// id returns the selected identity, or nil if none is selected.
func (r *request) id() azhost.ManagedIDKind {
	switch {
	case r.clientID != "":
		return azhost.ClientID(r.clientID)
	case r.objectID != "":
		return azhost.ObjectID(r.objectID)
	case r.resourceID != "":
		return azhost.ResourceID(r.resourceID)
	}
	return nil
}

// identity returns the selected identity as the library's errors write it, or "" if none is selected.
func (r *request) identity() string {
	switch id := r.id().(type) {
	case azhost.ClientID:
		return fmt.Sprintf("client ID %q", id)
	case azhost.ObjectID:
		return fmt.Sprintf("object ID %q", id)
	case azhost.ResourceID:
		return fmt.Sprintf("resource ID %q", id)
	}
	return ""
}

// options returns the credential's options.
func (r *request) options(transport http.RoundTripper) *azhost.ManagedIdentityCredentialOptions {
	o := &azhost.ManagedIdentityCredentialOptions{
		ID: r.id(), Source: azhost.Source(r.source), Endpoint: r.endpoint, ArcKeyDirectory: r.arcKeyDirectory,
	}
	if transport != nil {
		o.Transport = client(transport)
	}
	return o
}

// client returns a client that follows no redirect.
func client(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// credential creates the credential. An error is about the options, and therefore about the command line.
func credential(o *azhost.ManagedIdentityCredentialOptions) (*azhost.ManagedIdentityCredential, error) {
	cred, err := azhost.NewManagedIdentityCredential(o)
	if err != nil {
		return nil, usagef("%s", strings.TrimPrefix(err.Error(), "azhost: "))
	}
	return cred, nil
}
