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

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost/internal/chassis"
	"github.com/azhost/azhost/internal/detect"
	"github.com/azhost/azhost/internal/keyfile"
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

// source asks one kind of host for a token.
type source interface {
	fetch(ctx context.Context, resource, refused string) (azcore.AccessToken, error)
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
	if client, ok := o.Transport.(*http.Client); ok && client == nil {
		return nil, errors.New("Transport is a nil *http.Client; leave it nil, without a type, for the default one")
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
	case SourceIMDS, SourceAzureArc, SourceAppService, SourceServiceFabric, SourceCloudShell, SourceAzureML:
	default:
		return nil, fmt.Errorf("unknown Source %q", who.source)
	}
	var err error
	if who.endpoint, err = endpointOf(who.source, &o, env.ArcVariables()); err != nil {
		return nil, err
	}
	variable, _ := variablesOf(who.source)
	who.pinned = variable != "" && o.Endpoint != ""
	if who.keyDir, err = keyDirectory(&o, who.source); err != nil {
		return nil, err
	}

	c := &ManagedIdentityCredential{name: who.source, log: o.Logger.With("source", who.source), unavailableError: o.UnavailableError}
	var gate *gate
	if sharable(o.Transport) && len(o.PerCallPolicies) == 0 && len(o.PerRetryPolicies) == 0 {
		who.transport = o.Transport
		gate = shared.gates.get(who.route, newGate)
		c.cache = shared.caches.get(who, newCache)
	} else {
		gate = newGate()
		c.cache = newCache()
	}
	var client *azcore.Client
	switch who.source {
	case SourceAzureArc:
		c.source, client, err = newArc(&o, who, gate, keyfile.Directory(env.ProgramData))
	case SourceAppService:
		c.source, client, err = newAppService(&o, who, gate)
	case SourceServiceFabric:
		c.source, client, err = newServiceFabric(&o, who, gate)
	case SourceCloudShell:
		c.source, client, err = newCloudShell(&o, who, gate)
	case SourceAzureML:
		c.source, client, err = newAzureML(&o, who, gate)
	default:
		// The tag speaks for IMDS's own address; it says nothing about an endpoint of the caller's.
		onVM := o.Endpoint == "" && chassis.IsAzureVM()
		c.source, client, err = newIMDS(&o, who, gate, onVM, notes)
	}
	if err != nil {
		return nil, err
	}
	c.tracer = client.Tracer()
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
