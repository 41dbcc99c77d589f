// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/detect"
)

// Source is the kind of host that tokens come from.
type Source string

// The hosts that are told apart.
const (
	SourceIMDS          Source = "IMDS"          // Azure VM or scale-set instance, container instance
	SourceAzureArc      Source = "AzureArc"      // Azure Arc-enabled server
	SourceAppService    Source = "AppService"    // App Service, Functions, Container Apps, Automation
	SourceServiceFabric Source = "ServiceFabric" // Service Fabric cluster
	SourceCloudShell    Source = "CloudShell"    // Azure Cloud Shell
	SourceAzureML       Source = "AzureML"       // Azure Machine Learning compute
)

// host is a kind of host: where it is asked, the variables in which it says so and what proves a
// request to come from inside, "" for what it has not, and how its source is built.
type host struct {
	source   Source
	address  string
	endpoint string
	secret   string
	build    func(*setup) (source, error)
}

// hosts are all that there are. A new one needs a row here, and one in package detect.
func hosts() []host {
	return []host{
		{SourceIMDS, imdsAddress, "", "", newIMDS},
		{SourceAzureArc, arcAddress, "", "", newArc},
		{SourceAppService, "", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", newAppService},
		{SourceServiceFabric, "", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", newServiceFabric},
		{SourceAzureML, "", "MSI_ENDPOINT", "MSI_SECRET", newAzureML},
		{SourceCloudShell, "", "MSI_ENDPOINT", "", newCloudShell},
	}
}

// source asks one kind of host for a token.
type source interface {
	fetch(ctx context.Context, w want) (azcore.AccessToken, error)
}

// want is what a host is asked for.
type want struct {
	resource  string
	refused   string // a token that a service has refused, "" for none
	revocable bool   // the client handles the revocation of the token
}

// setup is what a source is built from.
type setup struct {
	options  *ManagedIdentityCredentialOptions // a copy of the caller's
	env      detect.Environment
	host     host
	identity identity
	gate     *gate
	notes    string // half-set variables, which may be why IMDS is asked at all
	client   *azcore.Client
}

// connect makes the client. perTry, which may be nil, runs at every attempt.
func (in *setup) connect(retry policy.RetryOptions, perTry policy.Policy) (err error) {
	in.options.Retry = withDefaults(in.options.Retry, retry)
	in.client, err = newClient(in.options, in.gate, perTry)
	return err
}

// newCredential checks o, finds the host and builds its source.
func newCredential(o ManagedIdentityCredentialOptions) (*ManagedIdentityCredential, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	in := &setup{options: &o, env: detect.Read()}
	who := &in.identity
	if o.ID != nil {
		who.kind, who.id = o.ID.selector()
		if who.id == "" {
			return nil, fmt.Errorf("the %s in ID is empty; for the system-assigned identity leave ID nil", who.kind)
		}
	}
	if client, ok := o.Transport.(*http.Client); ok && client == nil {
		return nil, errors.New("the *http.Client in Transport is nil; for the default one leave Transport itself nil")
	}
	if o.ConnectTimeout < 0 {
		return nil, fmt.Errorf("negative ConnectTimeout %s; zero means the default of %s", o.ConnectTimeout, defaultConnectTimeout)
	}
	reason := "set in the options"
	if who.source = o.Source; who.source == "" {
		var host detect.Host
		host, reason = in.env.Host()
		who.source = Source(host)
	}
	o.Logger.Info("azhost: host found", "source", who.source, "reason", reason)
	for _, note := range in.env.Notes() {
		o.Logger.Warn("azhost: " + note)
		in.notes += ". " + note
	}
	i := slices.IndexFunc(hosts(), func(h host) bool { return h.source == who.source })
	if i < 0 {
		return nil, fmt.Errorf("unknown Source %q", who.source)
	}
	in.host = hosts()[i]
	var err error
	if who.endpoint, err = in.endpoint(); err != nil {
		return nil, err
	}
	who.pinned = in.host.endpoint != "" && o.Endpoint != ""
	if who.keyDir, err = keyDirectory(&o, who.source); err != nil {
		return nil, err
	}

	c := &ManagedIdentityCredential{name: who.source, log: o.Logger.With("source", who.source), unavailableError: o.UnavailableError}
	var caches func() *cache
	if sharable(o.Transport) && len(o.PerCallPolicies) == 0 && len(o.PerRetryPolicies) == 0 {
		who.transport = o.Transport
		in.gate = shared.gates.get(who.route, newGate)
		caches = func() *cache { return shared.caches.get(*who, newCache) }
	} else {
		in.gate, caches = newGate(), newCache
	}
	c.cache = caches()
	c.revocable = c.cache
	if who.revocable = who.source == SourceServiceFabric; who.revocable {
		c.revocable = caches()
	}
	if c.source, err = in.host.build(in); err != nil {
		return nil, err
	}
	c.tracer = in.client.Tracer()
	c.traced = c.tracer.Enabled()
	return c, nil
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
