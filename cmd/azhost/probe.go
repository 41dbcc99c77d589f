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
	"github.com/azhost/azhost/internal/detect"
)

// probeConnect is how long connecting may take, as in the library.
const probeConnect = 2 * time.Second

// address returns the endpoint that the library uses.
func (d *doctor) address() string {
	host, env := d.source, d.facts.env
	switch {
	case d.request.endpoint != "":
		return d.request.endpoint
	case host == azhost.SourceIMDS:
		return detect.IMDSTokenEndpoint
	case host == azhost.SourceAzureArc && env.ArcVariables():
		return env.IdentityEndpoint
	case host == azhost.SourceAzureArc:
		return detect.ArcTokenEndpoint
	case host == azhost.SourceCloudShell || host == azhost.SourceAzureML:
		return env.MSIEndpoint
	}
	return env.IdentityEndpoint
}

// endpoint sends the host a request that it must reject, and reports whether the host responds.
func (d *doctor) endpoint(ctx context.Context) {
	const check = "endpoint"
	address := d.address()
	where := place(address)
	start := time.Now()
	resp, err := d.probe(ctx, address)
	if err != nil {
		if u, isURL := errors.AsType[*url.Error](err); isURL {
			err = u.Err
		}
		d.report.add(bad, check, fmt.Sprintf("%s: no response after %s: %s", where, took(start), printable(err.Error())), "")
		return
	}
	resp.Body.Close()
	d.responded, d.server = true, printable(resp.Header.Get("Server"))
	detail := fmt.Sprintf("%s responds in %s (status %d)", where, took(start), resp.StatusCode)
	if d.source == azhost.SourceIMDS && !d.isIMDS() {
		detail += fmt.Sprintf(", but doesn't identify itself as IMDS (Server %q)", d.server)
	}
	d.report.add(ok, check, detail, "")
}

// isIMDS reports whether the response claims to be from IMDS.
func (d *doctor) isIMDS() bool { return strings.HasPrefix(d.server, "IMDS/") }

// probe sends a request without the header that token requests have. It doesn't use a proxy or follow
// redirects.
func (d *doctor) probe(ctx context.Context, address string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, d.request.timeout/4)
	defer cancel()
	transport := d.transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:                  nil,
			DialContext:            (&net.Dialer{Timeout: probeConnect}).DialContext,
			DisableKeepAlives:      true,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, // the request holds no secret
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return client(transport).Do(req)
}

func took(start time.Time) time.Duration { return time.Since(start).Round(time.Millisecond) }
