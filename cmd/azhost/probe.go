// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/azhost/azhost"
)

// The endpoints of hosts that have a fixed one.
const (
	imdsEndpoint = "http://169.254.169.254/metadata/identity/oauth2/token"
	arcEndpoint  = "http://127.0.0.1:40342/metadata/identity/oauth2/token"
)

const (
	probeConnect = 2 * time.Second // as the library's
	probeTimeout = 5 * time.Second
)

// address returns the endpoint that the library asks.
func (d *doctor) address(host azhost.Source) string {
	env := d.facts.env
	switch {
	case d.request.endpoint != "":
		return d.request.endpoint
	case host == azhost.SourceIMDS:
		return imdsEndpoint
	case host == azhost.SourceAzureArc && env.ArcVariables():
		return env.IdentityEndpoint
	case host == azhost.SourceAzureArc:
		return arcEndpoint
	case host == azhost.SourceCloudShell || host == azhost.SourceAzureML:
		return env.MSIEndpoint
	}
	return env.IdentityEndpoint
}

// endpoint asks the endpoint for nothing in particular, and reports whether it answers. Every
// host refuses such a request, which is an answer.
func (d *doctor) endpoint(ctx context.Context, host azhost.Source) {
	const check = "endpoint"
	address := d.address(host)
	where := place(address)
	start := time.Now()
	resp, err := d.probe(ctx, address)
	if err != nil {
		if u, isURL := errors.AsType[*url.Error](err); isURL {
			err = u.Err
		}
		todo := "The variable above points there. Does the program still run where the platform started it?"
		switch host {
		case azhost.SourceIMDS:
			todo = "On an Azure VM, let this program reach the address directly: look at firewalls, routes and network namespaces. Elsewhere there is none."
		case azhost.SourceAzureArc:
			todo = "Start the Arc agent: sudo systemctl start himdsd (Linux), Start-Service himds (Windows). Then see azcmagent show."
		}
		d.found.add(bad, check, fmt.Sprintf("%s: no answer after %s: %s", where, took(start), printable(err.Error())), todo)
		return
	}
	resp.Body.Close()
	server := printable(resp.Header.Get("Server"))
	detail := fmt.Sprintf("%s answers in %s (status %d)", where, took(start), resp.StatusCode)
	if host == azhost.SourceIMDS && !strings.HasPrefix(server, "IMDS/") {
		d.found.add(note, check, fmt.Sprintf("%s, but does not call itself IMDS (Server %q)", detail, server),
			"If something other than Azure owns this address (another cloud, a captive portal, a proxy), there is no managed identity here.")
		return
	}
	d.found.add(ok, check, detail, "")
}

// probe asks without the header that a token request has, through no proxy and after no redirect.
func (d *doctor) probe(ctx context.Context, address string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	transport := d.transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  nil,
			DialContext:            (&net.Dialer{Timeout: probeConnect}).DialContext,
			DisableKeepAlives:      true,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, // nothing is sent that anybody may not know
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return client(transport).Do(req)
}
