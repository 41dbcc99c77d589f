// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost/internal/chassis"
	"github.com/azhost/azhost/internal/detect"
	"github.com/azhost/azhost/internal/keyfile"
)

// Source is the kind of host that tokens come from.
type Source string

// The hosts that are told apart. This version gets tokens from SourceIMDS and SourceAzureArc, and
// refuses the others by name.
const (
	SourceIMDS          Source = "IMDS"          // Azure VM or scale-set instance
	SourceAzureArc      Source = "AzureArc"      // Azure Arc-enabled server
	SourceAppService    Source = "AppService"    // App Service, Functions, Container Apps, Automation
	SourceServiceFabric Source = "ServiceFabric" // Service Fabric cluster
	SourceCloudShell    Source = "CloudShell"    // Azure Cloud Shell
	SourceAzureML       Source = "AzureML"       // Azure Machine Learning compute
)

// source asks one kind of host for a token.
type source interface {
	fetch(ctx context.Context, resource string) (azcore.AccessToken, error)
}

// newCredential checks o, finds the host and builds its source.
func newCredential(o ManagedIdentityCredentialOptions) (*ManagedIdentityCredential, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	who := identity{}
	if o.ID != nil {
		who.kind, who.id = o.ID.selector()
		if who.id == "" {
			return nil, fmt.Errorf("the %s in ID is empty; for the system-assigned identity leave ID nil", who.kind)
		}
	}
	if o.ConnectTimeout < 0 {
		return nil, fmt.Errorf("negative ConnectTimeout %s; zero means the default of %s", o.ConnectTimeout, defaultConnectTimeout)
	}
	env := detect.Read()
	reason := "set in the options"
	if who.source = o.Source; who.source == "" {
		var host detect.Host
		host, reason = env.Host()
		who.source = Source(host)
	}
	o.Logger.Info("azhost: host found", "source", who.source, "reason", reason)
	var notes string
	for _, note := range env.Notes() {
		o.Logger.Warn("azhost: " + note)
		notes += ". " + note
	}
	switch who.source {
	case SourceIMDS, SourceAzureArc:
	case SourceAppService, SourceServiceFabric, SourceCloudShell, SourceAzureML:
		return nil, fmt.Errorf("this is %s (%s), which this version cannot get tokens from; it speaks to Azure VMs and Azure Arc-enabled servers", who.source, reason)
	default:
		return nil, fmt.Errorf("unknown Source %q", who.source)
	}
	var err error
	if who.endpoint, err = endpointOf(who.source, &o, env); err != nil {
		return nil, err
	}
	if who.keyDir, err = keyDirectory(&o, who.source); err != nil {
		return nil, err
	}

	c := &ManagedIdentityCredential{name: who.source, log: o.Logger, unavailableError: o.UnavailableError}
	var at *endpoint
	if o.Transport == nil && len(o.PerCallPolicies) == 0 && len(o.PerRetryPolicies) == 0 {
		at = shared.endpoints.get(who.endpoint, newEndpoint)
		c.cache = shared.caches.get(who, newCache)
	} else {
		at = newEndpoint()
		c.cache = newCache()
	}
	var client *azcore.Client
	if who.source == SourceAzureArc {
		c.source, client, err = newArc(&o, who, at, keyfile.Directory(env.ProgramData))
	} else {
		// The tag speaks for IMDS's own address; it says nothing about an endpoint of the caller's.
		onVM := o.Endpoint == "" && chassis.IsAzureVM()
		c.source, client, err = newIMDS(&o, who, at, onVM, notes)
	}
	if err != nil {
		return nil, err
	}
	c.tracer = client.Tracer()
	c.traced = c.tracer.Enabled()
	return c, nil
}

// endpointOf returns the token endpoint: the caller's, the environment's or the host's own.
func endpointOf(s Source, o *ManagedIdentityCredentialOptions, env detect.Environment) (string, error) {
	name, endpoint := "Endpoint", o.Endpoint
	switch {
	case endpoint != "":
	case s == SourceIMDS:
		return imdsAddress, nil
	case env.ArcVariables():
		name, endpoint = "IDENTITY_ENDPOINT", env.IdentityEndpoint
	default:
		return arcAddress, nil
	}
	u, err := parseEndpoint(name, endpoint)
	if err != nil {
		return "", err
	}
	if s == SourceAzureArc && !loopback(u) {
		return "", fmt.Errorf("%s %.200q does not point to this machine; the Arc agent is asked at localhost or a loopback address only, because the key is sent there", name, endpoint)
	}
	return u.String(), nil
}

// parseEndpoint checks a token endpoint's URL; name says where it comes from.
func parseEndpoint(name, endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("%s is not a URL: %w", name, cause(err))
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s %.200q is not an http or https URL", name, endpoint)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s %.200q names no host", name, endpoint)
	case u.User != nil:
		return nil, errors.New(name + " has user information, which a token endpoint does not take")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%s has a query or fragment; write the bare URL, the request's parameters are added to it", name)
	}
	return u, nil
}

// loopback reports whether u points to this machine for certain: no name but localhost, which the
// transport dials as 127.0.0.1 and ::1 without asking a resolver.
func loopback(u *url.URL) bool {
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}

// keyDirectory checks and cleans ArcKeyDirectory.
func keyDirectory(o *ManagedIdentityCredentialOptions, s Source) (string, error) {
	switch dir := o.ArcKeyDirectory; {
	case dir == "":
		return "", nil
	case !filepath.IsAbs(dir):
		return "", fmt.Errorf("ArcKeyDirectory %.200q is not an absolute path", dir)
	case s != SourceAzureArc:
		return "", nil // one configuration may serve many machines
	default:
		return filepath.Clean(dir), nil
	}
}
