// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// endpoint returns the token endpoint: the caller's, the environment's or the host's own.
func (in *setup) endpoint() (string, error) {
	h := in.host
	for _, name := range []string{h.secret, h.endpoint} {
		if name != "" && os.Getenv(name) == "" && (name == h.secret || in.options.Endpoint == "") {
			return "", fmt.Errorf("%s is not set; %s sets it for the programs that it runs", name, h.source)
		}
	}
	name, endpoint := "Endpoint", in.options.Endpoint
	switch {
	case endpoint != "":
	case h.endpoint != "":
		name, endpoint = h.endpoint, os.Getenv(h.endpoint)
	case h.source == SourceAzureArc && in.env.ArcVariables():
		name, endpoint = "IDENTITY_ENDPOINT", in.env.IdentityEndpoint
	default:
		return h.address, nil
	}
	u, err := h.parse(name, endpoint)
	if err != nil {
		return "", err
	}
	if u.Scheme == "http" && !onMachine(u) {
		in.options.Logger.Warn("azhost: the token endpoint is not on this machine and not encrypted; whoever is in between can read the tokens", name, place(u))
	}
	u.RawQuery = ""
	return u.String(), nil
}

// parse checks a token endpoint's URL; name says where it comes from. A query is for a platform's
// variable alone, whose value is the platform's to choose.
func (h host) parse(name, endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s is not a URL: %w", name, bare(err))
	}
	if strings.Contains(endpoint, "@") {
		return nil, errors.New(name + " has user information, which a token endpoint does not take") // and which no error quotes
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s %.200q is not an http or https URL", name, endpoint)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s %.200q names no host", name, endpoint)
	case u.Fragment != "" || name != h.endpoint && (u.RawQuery != "" || u.ForceQuery):
		return nil, fmt.Errorf("%s has a query or fragment; write the bare URL, the request's parameters are added to it", name)
	case h.source == SourceAzureArc && !loopback(u):
		return nil, fmt.Errorf("%s %.200q does not point to this machine; the Arc agent is asked at localhost or a loopback address only, because the key is sent there", name, endpoint)
	case h.source == SourceServiceFabric && u.Scheme != "https":
		return nil, fmt.Errorf("%s %.200q is not an https URL, without which there is no certificate to check", name, endpoint)
	}
	return u, nil
}

// loopback reports whether u points to this machine for certain: no name but localhost, which the
// transport dials as 127.0.0.1 without asking a resolver.
func loopback(u *url.URL) bool {
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// onMachine reports whether u points to this machine, or to the link that a host has to it.
func onMachine(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return loopback(u) || ip != nil && ip.IsLinkLocalUnicast()
}
