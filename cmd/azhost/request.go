// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/azhost/azhost"
)

// request is what to ask which host for: the flags that token and doctor share.
type request struct {
	resource, clientID, objectID, resourceID string
	source, endpoint, arcKeyDirectory        string
	timeout                                  time.Duration
}

func (r *request) flags(flags *flag.FlagSet, resource string, timeout time.Duration) {
	flags.StringVar(&r.resource, "resource", resource, "")
	flags.StringVar(&r.clientID, "client-id", "", "")
	flags.StringVar(&r.objectID, "object-id", "", "")
	flags.StringVar(&r.resourceID, "resource-id", "", "")
	flags.StringVar(&r.source, "source", "", "")
	flags.StringVar(&r.endpoint, "endpoint", "", "")
	flags.StringVar(&r.arcKeyDirectory, "arc-key-directory", "", "")
	flags.DurationVar(&r.timeout, "timeout", timeout, "")
}

// check looks for what no host needs to be asked about.
func (r *request) check() error {
	selectors := 0
	for _, id := range []string{r.clientID, r.objectID, r.resourceID} {
		if id != "" {
			selectors++
		}
	}
	switch {
	case r.target() == "" || strings.ContainsFunc(r.resource, func(c rune) bool { return c <= ' ' || c == 0x7f }):
		return usageError{fmt.Errorf("--resource %q names no resource; write for example --resource https://vault.azure.net", r.resource)}
	case selectors > 1:
		return usageError{errors.New("only one of --client-id, --object-id and --resource-id selects the identity")}
	case r.timeout <= 0:
		return usageError{fmt.Errorf("--timeout %s is not positive", r.timeout)}
	}
	return nil
}

// target is the resource without the suffix that makes a scope of it.
func (r *request) target() string { return strings.TrimSuffix(r.resource, "/.default") }

// options returns the options that the flags stand for.
func (r *request) options(transport http.RoundTripper) *azhost.ManagedIdentityCredentialOptions {
	o := &azhost.ManagedIdentityCredentialOptions{
		Source: azhost.Source(r.source), Endpoint: r.endpoint, ArcKeyDirectory: r.arcKeyDirectory,
	}
	for _, known := range []azhost.Source{
		azhost.SourceIMDS, azhost.SourceAzureArc, azhost.SourceAppService,
		azhost.SourceServiceFabric, azhost.SourceCloudShell, azhost.SourceAzureML,
	} {
		if strings.EqualFold(r.source, string(known)) {
			o.Source = known
		}
	}
	switch {
	case r.clientID != "":
		o.ID = azhost.ClientID(r.clientID)
	case r.objectID != "":
		o.ID = azhost.ObjectID(r.objectID)
	case r.resourceID != "":
		o.ID = azhost.ResourceID(r.resourceID)
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

// credential makes the credential. An error that the flags are to blame for is a usageError.
func credential(o *azhost.ManagedIdentityCredentialOptions) (*azhost.ManagedIdentityCredential, error) {
	cred, err := azhost.NewManagedIdentityCredential(o)
	if err == nil {
		return cred, nil
	}
	if _, bare := azhost.NewManagedIdentityCredential(nil); bare != nil && bare.Error() == err.Error() {
		return nil, err // it is the machine
	}
	return nil, usageError{err}
}
