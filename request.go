// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/azhost/azhost/internal/tokenjson"
)

// tryTimeout bounds one attempt: a host may take long to get a token from Microsoft Entra, but
// not that long.
const tryTimeout = time.Minute

// protocol is what the token requests of all hosts have in common.
type protocol struct {
	identity
	label      string // of the host, for errors
	method     string // "" is GET
	apiVersion string // api-version
	resourceID string // parameter that selects an identity by its resource ID
	mustEcho   bool   // a user-assigned identity counts as used only if the answer names it
	log        *slog.Logger
}

// build returns the request for a token, without any proof of where it comes from. The parameters
// are those of IMDS, which the Arc agent and App Service have taken over.
func (r *protocol) build(ctx context.Context, resource string) (*policy.Request, error) {
	query := url.Values{"api-version": {r.apiVersion}, "resource": {resource}}
	switch r.kind {
	case byClientID:
		query.Set("client_id", r.id)
	case byObjectID:
		query.Set("object_id", r.id)
	case byResourceID:
		query.Set(r.resourceID, r.id)
	}
	req, err := r.ask(ctx, query)
	if err == nil {
		req.Raw().Header.Set("Metadata", "true") // shows that no URL-fetching service was tricked into asking
	}
	return req, err
}

// ask returns a request with a query.
func (r *protocol) ask(ctx context.Context, query url.Values) (*policy.Request, error) {
	req, err := runtime.NewRequest(ctx, cmp.Or(r.method, http.MethodGet), r.endpoint)
	if err != nil {
		return nil, r.failed(nil, err, "%v", err)
	}
	req.Raw().URL.RawQuery = query.Encode()
	return req, nil
}

// granted reports whether an answer is to have a token: 200, and 202 if it has one.
func granted(resp *http.Response) bool {
	return resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted && tokenjson.IsToken(payload(resp))
}

// token reads the answer to a request that succeeded. An answer for another identity than the one
// asked for is an error: the caller would act with rights that nobody gave it.
func (r *protocol) token(resp *http.Response) (azcore.AccessToken, error) {
	now := time.Now()
	t, err := tokenjson.Parse(payload(resp), now)
	if err != nil {
		return azcore.AccessToken{}, r.failed(resp, err, "the answer cannot be used: %v", err)
	}
	echo := map[idKind]string{byClientID: t.ClientID, byObjectID: t.ObjectID, byResourceID: t.ResourceID}[r.kind]
	switch {
	case r.id == "" || strings.EqualFold(echo, r.id):
	case echo != "":
		return azcore.AccessToken{}, r.failed(resp, nil, "the answer is a token for the identity with %s %.200q, not %q. Is that identity assigned to this machine?", r.kind, withoutSecret(echo, secretOf(resp.Request)), r.id)
	case r.mustEcho:
		return azcore.AccessToken{}, r.failed(resp, nil, "the answer does not say that its token is for the identity with %s %q. This agent is too old to select a user-assigned identity; update it, or leave ID nil for the system-assigned one", r.kind, r.id)
	}
	if t.ClockSkew != 0 {
		r.log.Warn("azhost: the host's clock and this machine's disagree; using expires_in", "skew", t.ClockSkew)
	}
	token := azcore.AccessToken{Token: t.AccessToken, ExpiresOn: t.ExpiresOn}
	if t.RefreshIn > 0 {
		token.RefreshOn = now.Add(t.RefreshIn)
	}
	return token, nil
}

// ended is the error of a flight whose context has ended, nil while it has not.
func (r *protocol) ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return r.failed(nil, ctx.Err(), "%v", context.Cause(ctx))
}

// failed and unavailable make errors that begin with the request they are about. A platform may have
// moved since the endpoint was found.
func (r *protocol) failed(resp *http.Response, cause error, format string, args ...any) error {
	endpoint := r.endpoint
	var asked url.URL
	if none, ok := errors.AsType[*noAnswer](cause); ok {
		asked = *none.from
	} else if resp != nil {
		asked = *resp.Request.URL
	}
	if asked.RawQuery = ""; asked.Host != "" {
		endpoint = asked.String()
	}
	return failed(resp, cause, "%s: %s %s: %s", r.label, cmp.Or(r.method, http.MethodGet), endpoint, fmt.Sprintf(format, args...))
}

func (r *protocol) unavailable(cause error, format string, args ...any) error {
	return unavailable(cause, "%s: GET %s: %s", r.label, r.endpoint, fmt.Sprintf(format, args...))
}
