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
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/azhost/azhost/internal/advice"
	"github.com/azhost/azhost/internal/detect"
	"github.com/azhost/azhost/internal/tokenjson"
)

// protocol is what the token requests of all hosts have in common.
type protocol struct {
	identity
	label      string // of the host, for errors
	method     string // "" is GET
	apiVersion string
	resourceID string // parameter that selects an identity by its resource ID
	mustEcho   bool   // reject a response that does not name the user-assigned identity
	reason     string // for errors: why the host was detected; "" if the caller set it
}

// build returns the request for a token, without its secret. The parameters are those of IMDS, which the Arc
// agent and App Service use too.
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
		req.Raw().Header.Set("Metadata", "true") // protects against server-side request forgery
	}
	return req, err
}

// ask returns a request to the endpoint with a query.
func (r *protocol) ask(ctx context.Context, query url.Values) (*policy.Request, error) {
	req, err := runtime.NewRequest(ctx, cmp.Or(r.method, http.MethodGet), r.endpoint)
	if err != nil {
		return nil, r.failed(nil, err, "%v", err)
	}
	runtime.SkipBodyDownload(req) // transport reads the body, and a copy would cost as much as parsing it
	req.Raw().URL.RawQuery = query.Encode()
	return req, nil
}

// granted reports whether a response should contain a token: 200, or 202 with a token in it.
func granted(resp *http.Response) bool {
	return resp != nil && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusAccepted && tokenjson.IsToken(payload(resp)))
}

// token reads a successful response. It rejects a token for an identity other than the selected one,
// because the caller would act with the wrong permissions.
func (r *protocol) token(resp *http.Response, log *journal) (azcore.AccessToken, error) {
	now := time.Now()
	sent := now.Add(-ageOf(resp))
	t, err := tokenjson.Parse(payload(resp), sent, dateOf(resp))
	if err == nil && !t.ExpiresOn.After(now) {
		err = errors.New("the token has already expired")
	}
	if err != nil {
		return azcore.AccessToken{}, r.failed(resp, err, "%v: %s", err, describeResponse(resp))
	}
	echo := map[idKind]string{byClientID: t.ClientID, byObjectID: t.ObjectID, byResourceID: t.ResourceID}[r.kind]
	switch {
	case r.id == "" || strings.EqualFold(echo, r.id):
	case echo != "":
		return azcore.AccessToken{}, r.failed(resp, nil, "the token is for the identity with %s %.200q, not %q: %s%s", r.kind, withoutSecret(echo, secretOf(resp.Request)), r.id, describeResponse(resp), r.advice(resp, advice.Failure{Problem: advice.OtherIdentity}))
	case r.mustEcho:
		return azcore.AccessToken{}, r.failed(resp, nil, "the response doesn't confirm that the token is for the identity with %s %q: %s%s", r.kind, r.id, describeResponse(resp), r.advice(resp, advice.Failure{Problem: advice.NoEcho}))
	}
	if t.ClockSkew != 0 {
		log.write(slog.LevelWarn, "azhost: the host's clock differs from this machine's", "host_ahead_by", t.ClockSkew.String())
	}
	token := azcore.AccessToken{Token: t.AccessToken, ExpiresOn: t.ExpiresOn}
	if t.RefreshIn > 0 {
		token.RefreshOn = sent.Add(t.RefreshIn)
	}
	return token, nil
}

// ageOf returns how long a cache has kept the response, or 0 if it has no Age header.
func ageOf(resp *http.Response) time.Duration {
	seconds, _ := strconv.ParseUint(resp.Header.Get("Age"), 10, 31)
	return time.Duration(seconds) * time.Second
}

// dateOf returns the time of the response by the host's clock, or zero if it has no Date header.
func dateOf(resp *http.Response) time.Time {
	date, _ := http.ParseTime(resp.Header.Get("Date"))
	return date
}

// advice returns what to do about a failure, as a sentence to append; "" if that is unknown.
func (r *protocol) advice(resp *http.Response, f advice.Failure) string {
	f.Host = detect.Host(r.source)
	if r.id != "" {
		f.Identity = fmt.Sprintf("%s %q", r.kind, r.id)
	}
	if resp != nil {
		f.Status = resp.StatusCode
		f.Empty = len(payload(resp)) == 0
		e, ok := tokenjson.ParseError(payload(resp))
		if f.Code, f.Text, f.Own = e.Code, e.Description, ok; !ok {
			f.Text = tokenjson.Line(string(payload(resp)))
		}
		f.NewestVersions = e.NewestVersions
	}
	if text := advice.For(f); text != "" {
		return ". " + text
	}
	return ""
}

// failed and unavailable return errors that begin with the request's method and URL. The URL is the one
// that was used, because a platform's endpoint may have changed since it was found.
func (r *protocol) failed(resp *http.Response, cause error, format string, args ...any) error {
	return failed(cmp.Or(resp, responseOf(cause)), cause, "%s: %s", r.asked(resp, cause), fmt.Sprintf(format, args...)+r.decided())
}

func (r *protocol) unavailable(resp *http.Response, cause error, format string, args ...any) error {
	return unavailable(cmp.Or(resp, responseOf(cause)), cause, "%s: %s", r.asked(resp, cause), fmt.Sprintf(format, args...)+r.decided())
}

// decided returns a sentence about why this host was chosen, because a leftover variable may select the wrong
// one.
func (r *protocol) decided() string {
	if r.reason == "" {
		return ""
	}
	return fmt.Sprintf(". %s was chosen because %s", r.label, r.reason)
}

// asked returns the host, method, and URL of the request that an error is about.
func (r *protocol) asked(resp *http.Response, cause error) string {
	endpoint := r.endpoint
	var u url.URL
	if none, ok := causeOf[*noResponse](cause); ok {
		u = *none.from
	} else if resp = cmp.Or(resp, responseOf(cause)); resp != nil {
		u = *resp.Request.URL
	}
	if u.RawQuery, u.User = "", nil; u.Host != "" {
		endpoint = u.String()
	}
	return fmt.Sprintf("%s: %s %s", r.label, cmp.Or(r.method, http.MethodGet), endpoint)
}
