// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/tokenjson"
)

// platform is a host that tells the programs it runs by environment variables where and how to ask
// it: App Service, Service Fabric, Cloud Shell, Azure ML.
type platform struct {
	protocol
	client *azcore.Client
	advice func(status int, e tokenjson.Error) string // what to do about a refusal
}

// platformRetry leaves what is zero to azcore's defaults: three retries of 408, 429, 500, 502, 503
// and 504, after about 1, 2 and 6 s.
var platformRetry = policy.RetryOptions{MaxRetryDelay: time.Minute}

// connect gives p its client, whose requests carry the platform's secret in header, if that is not "".
func (p *platform) connect(in *setup, retry policy.RetryOptions, header string) error {
	err := in.connect(retry, variables{host: in.host, pinned: in.identity.pinned, header: header})
	p.client = in.client
	return err
}

// send sends a request and reads the answer.
func (p *platform) send(ctx context.Context, req *policy.Request) (azcore.AccessToken, error) {
	resp, err := p.client.Pipeline().Do(req)
	if ended := p.ended(ctx); ended != nil {
		return azcore.AccessToken{}, ended
	}
	if err != nil {
		advice := ""
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			advice = ". The platform's variable, or Endpoint, points there; does this program still run where the platform started it?"
		}
		return azcore.AccessToken{}, p.failed(nil, err, "%v%s", bare(err), advice)
	}
	if granted(resp) {
		return p.token(resp)
	}
	e, _ := tokenjson.ParseError(payload(resp))
	what := answered(resp)
	if advice := p.advice(resp.StatusCode, e); advice != "" {
		what += ". " + advice
	}
	return azcore.AccessToken{}, p.failed(resp, nil, "%s", what)
}

// variables is the pipeline policy that reads a platform's variables at every attempt, because the
// platform may change them while the program runs.
type variables struct {
	host
	pinned bool   // the endpoint is the caller's
	header string // the header that carries the secret, "" where there is none
}

// Do implements [policy.Policy].
func (v variables) Do(req *policy.Request) (*http.Response, error) {
	if !v.pinned {
		u, err := v.parse(v.endpoint, os.Getenv(v.endpoint))
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
	if v.header != "" {
		value := os.Getenv(v.secret)
		if value == "" {
			return nil, final{fmt.Errorf("%s is not set any more", v.secret)}
		}
		req.Raw().Header.Set(v.header, value)
		req.Raw().Close = true // net/http sends again what a used connection was closed on, to whoever listens by then
	}
	return req.Next()
}

var _ policy.Policy = variables{}
