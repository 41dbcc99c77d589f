// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

const (
	module  = "github.com/azhost/azhost"
	version = "v0.1.0"
)

// client sends token requests to one host, through azcore's pipeline.
type client struct {
	source
	*azcore.Client
	from  func() string // names the host in errors
	wrong error         // an error in the environment; if set, no request is sent
}

// newClient returns the client of a checked setup.
//
//	caller's per-call policies ▸ request ID ▸ retry, which waits for a turn ▸ timeout ▸
//	exchange or variables ▸ checked ▸ caller's per-try policies ▸ tracing, logging ▸ transport
func newClient(in *setup) *client {
	in.transport = transportOf(in)
	c := &client{source: in.host.build(in), from: in.from, wrong: in.wrong}
	o := in.options.ClientOptions
	attempts := &retry{gate: in.gate, options: complete(o.Retry, in.schedule()), known: in.known, source: c.source}
	o.Retry = policy.RetryOptions{MaxRetries: -1} // retry makes the attempts
	o.PerCallPolicies = append(slices.Clone(o.PerCallPolicies), runtime.NewRequestIDPolicy(), attempts)
	o.APIVersion = "" // the host dictates it
	o.Logging.IncludeBody = false
	o.Logging.AllowedHeaders = slices.DeleteFunc(slices.Clone(o.Logging.AllowedHeaders), isSecret)
	o.Transport = &transport{in.transport}
	pl := runtime.PipelineOptions{
		Tracing:                runtime.TracingOptions{Namespace: "Microsoft.Entra"},
		AllowedQueryParameters: []string{"resource", "client_id", "clientid", "object_id", "msi_res_id", "mi_res_id"},
	}
	pl.PerRetry = []policy.Policy{timeout(attempts.options.TryTimeout)}
	if in.perTry != nil {
		pl.PerRetry = append(pl.PerRetry, in.perTry)
	}
	if len(o.PerRetryPolicies) > 0 {
		pl.PerRetry = append(pl.PerRetry, checked{})
	}
	c.Client, _ = azcore.NewClient(module, version, pl, &o) // fails only for a malformed version
	return c
}

// fetch requests a token from the host, in a flight.
func (c *client) fetch(ctx context.Context, w want) (_ azcore.AccessToken, err error) {
	if c.wrong != nil {
		return azcore.AccessToken{}, unavailable(nil, c.wrong, "%v", c.wrong)
	}
	ctx, end := runtime.StartSpan(ctx, "ManagedIdentityCredential.fetch", c.Tracer(), nil)
	defer func() { end(err) }()
	req, err := c.request(ctx, w)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	progress := progressOf(ctx)
	resp, err := c.Pipeline().Do(req)
	resp, err = check(req.Raw(), resp, err)
	switch last := progress.lastFailure(); {
	case err == nil && granted(resp):
		return c.token(resp, &progress.journal)
	case errors.Is(progress.ctx.Err(), context.DeadlineExceeded) && !isUnavailable(last): // the flight's time is over
		return azcore.AccessToken{}, gaveUp(progress.ctx, w.resource, c.from(), last)
	case last != nil:
		return azcore.AccessToken{}, last
	default:
		return azcore.AccessToken{}, c.explain(resp, err)
	}
}

// checked is the pipeline policy that checks what the caller's policies return.
type checked struct{}

// Do implements [policy.Policy].
func (checked) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	return check(req.Raw(), resp, err)
}

// check completes a response from a custom policy, and rejects a missing one.
func check(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
	if resp == nil && err == nil {
		return nil, final{errors.New("a policy returned neither a response nor an error")}
	}
	if resp != nil && (resp.Request == nil || resp.Request.URL == nil) {
		resp.Request = req
	}
	return resp, err
}
