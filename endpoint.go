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

// variablesOf names the variables in which a host says where it is asked and what proves a request
// to come from inside, "" for those that it has not.
func variablesOf(s Source) (endpoint, secret string) {
	switch s {
	case SourceAppService, SourceServiceFabric:
		return "IDENTITY_ENDPOINT", "IDENTITY_HEADER"
	case SourceAzureML:
		return "MSI_ENDPOINT", "MSI_SECRET"
	case SourceCloudShell:
		return "MSI_ENDPOINT", ""
	}
	return "", ""
}

// endpointOf returns the token endpoint: the caller's, the environment's or the host's own.
// arcVariables says that both variables of an Arc server are set.
func endpointOf(s Source, o *ManagedIdentityCredentialOptions, arcVariables bool) (string, error) {
	variable, secret := variablesOf(s)
	if secret != "" && os.Getenv(secret) == "" {
		return "", fmt.Errorf("%s is not set; %s sets it for the programs that it runs", secret, s)
	}
	name, endpoint := "Endpoint", o.Endpoint
	switch {
	case endpoint != "":
	case variable != "":
		name, endpoint = variable, os.Getenv(variable)
		if endpoint == "" {
			return "", fmt.Errorf("%s is not set; %s sets it for the programs that it runs", variable, s)
		}
	case s == SourceIMDS:
		return imdsAddress, nil
	case arcVariables:
		name, endpoint = "IDENTITY_ENDPOINT", os.Getenv("IDENTITY_ENDPOINT")
	default:
		return arcAddress, nil
	}
	u, err := parseEndpoint(s, name, endpoint)
	if err != nil {
		return "", err
	}
	if u.Scheme == "http" && !onMachine(u) {
		o.Logger.Warn("azhost: the token endpoint is not on this machine and not encrypted; whoever is in between can read the tokens", name, place(u))
	}
	u.RawQuery = ""
	return u.String(), nil
}

// parseEndpoint checks a token endpoint's URL; name says where it comes from. A query is for a
// variable's value alone, which is the platform's to choose.
func parseEndpoint(s Source, name, endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s is not a URL: %w", name, bare(err))
	}
	variable, _ := variablesOf(s)
	if strings.Contains(endpoint, "@") {
		return nil, errors.New(name + " has user information, which a token endpoint does not take") // and which no error quotes
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s %.200q is not an http or https URL", name, endpoint)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s %.200q names no host", name, endpoint)
	case u.Fragment != "" || name != variable && (u.RawQuery != "" || u.ForceQuery):
		return nil, fmt.Errorf("%s has a query or fragment; write the bare URL, the request's parameters are added to it", name)
	case s == SourceAzureArc && !loopback(u):
		return nil, fmt.Errorf("%s %.200q does not point to this machine; the Arc agent is asked at localhost or a loopback address only, because the key is sent there", name, endpoint)
	case s == SourceServiceFabric && u.Scheme != "https":
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
