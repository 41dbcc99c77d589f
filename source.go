// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"net/http"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/chassis"
	"github.com/azhost/azhost/internal/detect"
)

// Source is the kind of host that tokens come from.
type Source string

// The hosts that azhost distinguishes.
const (
	SourceIMDS          Source = "IMDS"          // Azure VM, scale-set instance or container instance
	SourceAzureArc      Source = "AzureArc"      // Azure Arc-enabled server
	SourceAppService    Source = "AppService"    // App Service, Functions, Container Apps, Automation
	SourceServiceFabric Source = "ServiceFabric" // Service Fabric cluster
	SourceCloudShell    Source = "CloudShell"    // Azure Cloud Shell
	SourceAzureML       Source = "AzureML"       // Azure Machine Learning compute
)

// host is a kind of host.
type host struct {
	source   Source
	label    string              // its name in errors
	address  string              // where it is asked; "" if a variable says so
	endpoint string              // that variable
	secret   string              // the variable that holds what proves a request to come from the machine; "" if it has none
	schedule policy.RetryOptions // of retries, once the host is known to be there
	check    func(*setup) error  // whether the options fit the host
	build    func(*setup) source // its source
}

// hosts are all that there are. A new one needs a row here, a file, and a row in package detect.
func hosts() []host {
	return []host{
		{SourceIMDS, "IMDS", detect.IMDSTokenEndpoint, "", "", patient, anyOptions, newIMDS},
		{SourceAzureArc, "Azure Arc", detect.ArcTokenEndpoint, "", "", brief, checkArc, newArc},
		{SourceAppService, "App Service", "", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", sidecar, anyOptions, newAppService},
		{SourceServiceFabric, "Service Fabric", "", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", sidecar, checkServiceFabric, newServiceFabric},
		{SourceAzureML, "Azure ML", "", "MSI_ENDPOINT", "MSI_SECRET", sidecar, checkAzureML, newAzureML},
		{SourceCloudShell, "Cloud Shell", "", "MSI_ENDPOINT", "", sidecar, checkCloudShell, newCloudShell},
	}
}

func anyOptions(*setup) error { return nil }

// evidence is why a host is known to be there before it has answered. A known host is waited for on
// its schedule; where nothing is known, one attempt decides. IMDS at an Endpoint of the caller's is
// known once it has answered there.
var evidence = [...]struct {
	source Source
	reason string
	holds  func(*setup) bool
}{
	{SourceIMDS, "Source is IMDS", func(in *setup) bool { return in.options.Endpoint == "" && in.options.Source == SourceIMDS }},
	{SourceIMDS, "the variables of a container group are set", func(in *setup) bool { return in.options.Endpoint == "" && in.env.ContainerInstances() }},
	{SourceIMDS, "the firmware says that this is an Azure VM", func(in *setup) bool { return in.options.Endpoint == "" && chassis.IsAzureVM() }},
	{SourceAzureArc, "its variables, its agent or Source say so", func(*setup) bool { return true }},
	{SourceAppService, "its variables or Source say so", func(*setup) bool { return true }},
	{SourceServiceFabric, "its variables or Source say so", func(*setup) bool { return true }},
	{SourceAzureML, "its variables or Source say so", func(*setup) bool { return true }},
	{SourceCloudShell, "its variables or Source say so", func(*setup) bool { return true }},
}

// evidence returns why the host is known to be there, "" if nothing says so.
func (in *setup) evidence() string {
	for _, row := range evidence {
		if row.source == in.host.source && row.holds(in) {
			return row.reason
		}
	}
	return ""
}

// source knows how one kind of host is asked.
type source interface {
	// request returns the message that asks for a token.
	request(ctx context.Context, w want) (*policy.Request, error)
	// token reads the answer that has one.
	token(resp *http.Response, log *journal) (azcore.AccessToken, error)
	// genuine reports whether the host itself answered, and not something else at its address.
	genuine(resp *http.Response, err error) bool
	// explain returns the error for an attempt without a token. known says that the host is there.
	explain(resp *http.Response, err error, known bool) error
}

// want is what a host is asked for.
type want struct {
	resource  string
	refused   string // a token that a service has refused, "" for none
	revocable bool   // the client handles the revocation of the token
}

// hostOf returns a source's row, false if there is none.
func hostOf(s Source) (host, bool) {
	i := slices.IndexFunc(hosts(), func(h host) bool { return h.source == s })
	if i < 0 {
		return host{}, false
	}
	return hosts()[i], true
}
