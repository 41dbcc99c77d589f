// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/advice"
	"github.com/azhost/azhost/internal/detect"
)

// platform is a host whose environment variables tell its apps the endpoint and usually a secret: App
// Service, Service Fabric, Cloud Shell, and Azure ML.
type platform struct{ protocol }

func newPlatform(in *setup, p protocol) platform {
	in.perTry = variables{in.host, in.identity.fixed}
	p.identity, p.label, p.reason = in.identity, in.host.label, in.reason
	return platform{p}
}

// genuine treats every complete response as the platform's, because it or the caller chose the address.
func (p *platform) genuine(_ *http.Response, err error) bool { return err == nil }

// explain implements [source].
func (p *platform) explain(resp *http.Response, err error) error {
	if err != nil {
		return p.failed(nil, err, "%s%s", describe(err), p.advice(nil, advice.Failure{Problem: problemOf(err)}))
	}
	return p.failed(resp, nil, "%s%s", describeResponse(resp), p.advice(resp, advice.Failure{}))
}

// variables is the pipeline policy that reads a platform's variables at every attempt, because the
// platform may change them while the program runs.
type variables struct {
	host
	fixed bool // the endpoint is from the Endpoint option
}

// Do implements [policy.Policy].
func (v variables) Do(req *policy.Request) (*http.Response, error) {
	if !v.fixed {
		u, err := v.parse(v.endpointVariable, detect.Getenv(v.endpointVariable))
		if err != nil {
			return nil, final{err}
		}
		query := u.Query()
		for name, values := range req.Raw().URL.Query() {
			query[name] = values
		}
		u.RawQuery = query.Encode()
		req.Raw().URL, req.Raw().Host = u, u.Host
	}
	if v.secretHeader != "" {
		value, err := v.secretValue()
		if err != nil {
			return nil, final{err}
		}
		req.Raw().Header.Set(v.secretHeader, value)
		req.Raw().Close = true // no Transport keeps a connection that a later secret could be sent on
	}
	return req.Next()
}

var _ policy.Policy = variables{}
