// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/azhost/azhost/internal/detect"
)

// findEndpoint sets the endpoint: from Endpoint, from an environment variable, or the host's default. It
// returns errors in the options. Errors in the environment go to in.wrong, which GetToken returns.
func (in *setup) findEndpoint() error {
	h, id := in.host, &in.identity
	if h.source != SourceAzureArc {
		id.keyDir = "" // ignored, because one configuration may be used on many hosts
	}
	name, endpoint := "Endpoint", in.options.Endpoint
	fromOption := endpoint != ""
	switch {
	case fromOption:
		id.fixed = h.endpointVariable != ""
	case h.endpointVariable != "":
		name, endpoint = h.endpointVariable, detect.Getenv(h.endpointVariable)
	case h.source == SourceAzureArc && in.env.ArcVariables():
		name, endpoint = "IDENTITY_ENDPOINT", in.env.IdentityEndpoint
	default:
		id.endpoint = h.address
		return nil
	}
	u, err := h.parse(name, endpoint)
	if fromOption && err != nil {
		return err
	}
	if in.wrong = err; err != nil {
		return nil
	}
	if h.secretVariable != "" {
		_, in.wrong = h.secretValue()
	}
	if u.Scheme == "http" && !onMachine(u) {
		in.warnings = append(in.warnings, fmt.Sprintf("%s %s is neither on this machine nor encrypted, so others on the network could read the tokens", name, place(u, "")))
	}
	u.RawQuery = ""
	id.endpoint = u.String()
	return nil
}

// parse checks the URL of a token endpoint; name is the option or variable that it comes from. Only a
// platform's variable may have a query.
func (h host) parse(name, endpoint string) (*url.URL, error) {
	if endpoint == "" {
		return nil, fmt.Errorf("%s is not set. %s sets it for apps that it hosts", name, h.label)
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s is not a URL: %w", name, bare(err))
	}
	if strings.Contains(endpoint, "@") {
		return nil, errors.New(name + " contains user information. Remove it") // without a quote, which would have the password
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s %.200q is not an http or https URL", name, endpoint)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s %.200q has no host name", name, endpoint)
	case !dialable(u):
		return nil, fmt.Errorf("%s %.200q is not a URL: its host name or port is invalid", name, endpoint)
	case u.Fragment != "" || name != h.endpointVariable && (u.RawQuery != "" || u.ForceQuery):
		return nil, fmt.Errorf("%s has a query or fragment. Remove it; azhost adds the request's parameters", name)
	case h.source == SourceAzureArc && !loopback(u):
		return nil, fmt.Errorf("%s %.200q is not a loopback address. Use localhost or a loopback address, because azhost sends the Arc agent's key there", name, endpoint)
	case h.source == SourceAzureArc && strings.Trim(u.Path, "/") == "":
		return nil, fmt.Errorf("%s %.200q has no path. Set it to http://localhost:40342/metadata/identity/oauth2/token, the Arc agent's endpoint", name, endpoint)
	case h.source == SourceServiceFabric && u.Scheme != "https":
		return nil, fmt.Errorf("%s %.200q is not an https URL. Use https, so that azhost can check the host's certificate", name, endpoint)
	}
	return u, nil
}

// dialable reports whether u has a valid host name or address and a valid port. Otherwise, every attempt
// would fail.
func dialable(u *url.URL) bool {
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if u.Port() != "" && (err != nil || port == 0) {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return err == nil || !strings.ContainsFunc(u.Hostname(), func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._", r)
	})
}

// secretValue returns the secret that a platform gives to its apps.
func (h host) secretValue() (string, error) {
	value := detect.Getenv(h.secretVariable)
	switch {
	case value == "":
		return "", fmt.Errorf("%s is not set. %s sets it for apps that it hosts", h.secretVariable, h.label)
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("%s contains a control character, which an HTTP header cannot contain", h.secretVariable)
	}
	return value, nil
}

// loopback reports whether u points to this machine. The only name that does is localhost, because azhost
// dials 127.0.0.1 for it. A Transport that isn't an *http.Client must do the same.
func loopback(u *url.URL) bool {
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// platformNetwork is 100.64.0.0/10, the shared address space in which Azure's platforms run the
// sidecars of their apps.
var platformNetwork = netip.MustParsePrefix("100.64.0.0/10")

// onMachine reports whether u has a loopback, link-local, or platform address. No other machine on the
// network can read requests to these.
func onMachine(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return loopback(u) || err == nil && (ip.IsLinkLocalUnicast() || platformNetwork.Contains(ip))
}
