// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/chassis"
	"github.com/azhost/azhost/internal/detect"
)

// Source is the kind of host that tokens come from.
type Source string

// The hosts that azhost distinguishes.
const (
	SourceIMDS          Source = "IMDS"          // Azure VM, scale-set instance, or container instance
	SourceAzureArc      Source = "AzureArc"      // Azure Arc-enabled server
	SourceAppService    Source = "AppService"    // App Service, Functions, Container Apps, Automation
	SourceServiceFabric Source = "ServiceFabric" // Service Fabric cluster
	SourceCloudShell    Source = "CloudShell"    // Azure Cloud Shell
	SourceAzureML       Source = "AzureML"       // Azure Machine Learning compute
)

// host describes a kind of host.
type host struct {
	source           Source
	label            string              // its name in errors
	address          string              // default endpoint; "" if a variable has it
	endpointVariable string              // the name of the variable that has the endpoint, or ""
	secretVariable   string              // and of the one that has the secret, or ""
	secretHeader     string              // the header of a request that carries the secret, or ""
	check            func(*setup) error  // checks the options and variables that only this host has
	build            func(*setup) source // returns its source
}

// hosts lists all supported hosts. To add one, add a Source, a row here and in evidence, a file with its
// source, and a case in package detect. Optionally, add its failures to package advice, a fake to azhosttest,
// and query parameters for the log to client.go.
var hosts = [...]host{
	{SourceIMDS, "IMDS", detect.IMDSTokenEndpoint, "", "", "", anyOptions, newIMDS},
	{SourceAzureArc, "Azure Arc", detect.ArcTokenEndpoint, "", "", "Authorization", checkArc, newArc},
	{SourceAppService, "App Service", "", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "X-Identity-Header", anyOptions, newAppService},
	{SourceServiceFabric, "Service Fabric", "", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "Secret", checkServiceFabric, newServiceFabric},
	{SourceAzureML, "Azure ML", "", "MSI_ENDPOINT", "MSI_SECRET", "Secret", checkAzureML, newAzureML},
	{SourceCloudShell, "Cloud Shell", "", "MSI_ENDPOINT", "", "", checkCloudShell, newCloudShell},
}

func anyOptions(*setup) error { return nil }

// evidence lists how azhost knows that a host exists, and the host's retry schedule. If nothing in the
// list holds, a request is a single attempt.
var evidence = [...]struct {
	source   Source
	holds    func(*setup) bool
	schedule *policy.RetryOptions
}{
	{SourceIMDS, func(in *setup) bool { return in.identity.declared }, &patient},
	{SourceIMDS, func(in *setup) bool { return in.options.Endpoint == "" && in.env.ContainerInstances() }, &patient},
	{SourceIMDS, func(in *setup) bool { return in.options.Endpoint == "" && chassis.IsAzureVM() }, &patient},
	{SourceIMDS, func(in *setup) bool { return in.gate.hasResponded() }, &patient},
	// The others are found by their variables or their agent, or set by the caller.
	{SourceAzureArc, always, &brief},
	{SourceAppService, always, &sidecar},
	{SourceServiceFabric, always, &sidecar},
	{SourceAzureML, always, &sidecar},
	{SourceCloudShell, always, &sidecar},
}

func always(*setup) bool { return true }

// known reports whether the host is known to exist.
func (in *setup) known() bool {
	for _, row := range evidence {
		if row.source == in.host.source && row.holds(in) {
			return true
		}
	}
	return false
}

// schedule returns the host's schedule of retries.
func (in *setup) schedule() (schedule policy.RetryOptions) {
	for _, row := range evidence {
		if row.source == in.host.source {
			schedule = *row.schedule
		}
	}
	return schedule
}

// source builds requests for one kind of host and reads its responses.
type source interface {
	// request returns a request for a token.
	request(ctx context.Context, w want) (*policy.Request, error)
	// token reads a response that should have a token.
	token(resp *http.Response, log *journal) (azcore.AccessToken, error)
	// genuine reports whether the host itself responded, and not something else at its address.
	genuine(resp *http.Response, err error) bool
	// explain returns the error for an attempt without a token.
	explain(resp *http.Response, err error) error
}

// want is what a token request asks for.
type want struct {
	resource  string
	rejected  string // a token that a service rejected, or ""
	fresh     bool   // not from the host's cache, because a service sent claims or rejected that token
	revocable bool   // the client handles the revocation of the token
}

// hostOf returns a source's row, or false if there is none.
func hostOf(s Source) (host, bool) {
	for _, h := range hosts {
		if h.source == s {
			return h, true
		}
	}
	return host{}, false
}
