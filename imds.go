// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/chassis"
	"github.com/azhost/azhost/internal/tokenjson"
)

// imds is the Instance Metadata Service of an Azure VM.
type imds struct {
	protocol
	client *azcore.Client
	gate   *gate
	retry  policy.RetryOptions
	onVM   bool   // the firmware says that this is an Azure VM
	notes  string // half-set variables, which may be why IMDS is asked at all
}

// imdsAddress is the same on every Azure VM, in every cloud.
const imdsAddress = "http://169.254.169.254/metadata/identity/oauth2/token"

// imdsRetry is the schedule that IMDS's documentation asks for: 404, 410, 429 and 5xx, five
// retries, 2 s growing to at most 60 s. With azcore's jitter that is 91 to 128 s, more than the
// 70 s that an update (410) may take.
var imdsRetry = policy.RetryOptions{
	MaxRetries:    5,
	RetryDelay:    2 * time.Second,
	MaxRetryDelay: time.Minute,
	StatusCodes:   []int{404, 408, 410, 429, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511},
}

func newIMDS(in *setup) (source, error) {
	if err := in.connect(imdsRetry, nil); err != nil {
		return nil, err
	}
	return &imds{
		protocol: protocol{identity: in.identity, label: "IMDS", apiVersion: "2018-02-01", resourceID: "msi_res_id", log: in.options.Logger},
		client:   in.client,
		gate:     in.gate,
		retry:    in.options.Retry,
		// The tag speaks for IMDS's own address; it says nothing about an endpoint of the caller's.
		onVM:  in.options.Endpoint == "" && chassis.IsAzureVM(),
		notes: in.notes,
	}, nil
}

// fetch asks IMDS. Where nothing says that it is there, one attempt must tell; where it is there,
// it is waited for.
func (s *imds) fetch(ctx context.Context, w want) (azcore.AccessToken, error) {
	wasFailing := false
	retry := s.retry
	callers := retry.ShouldRetry
	retry.ShouldRetry = func(resp *http.Response, err error) bool {
		switch judge(resp, err) {
		case imdsItself:
			s.gate.answered.Store(true)
		case failing:
			wasFailing = true
		case silent, foreign:
			return s.onVM || wasFailing || s.gate.answered.Load()
		}
		if callers != nil {
			return callers(resp, err)
		}
		return err != nil || slices.Contains(retry.StatusCodes, resp.StatusCode)
	}
	req, err := s.build(policy.WithRetryOptions(ctx, retry), w.resource)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	resp, err := s.client.Pipeline().Do(req)
	if ended := s.ended(ctx); ended != nil {
		return azcore.AccessToken{}, ended
	}
	who := judge(resp, err)
	switch {
	case (who == silent || who == foreign) && !wasFailing && !s.gate.answered.Load():
		return azcore.AccessToken{}, s.notHere(resp, err)
	case err != nil && s.gate.answered.Load():
		return azcore.AccessToken{}, s.failed(nil, err, "%v. IMDS has answered here before", bare(err))
	case err != nil:
		return azcore.AccessToken{}, s.failed(nil, err, "%v", bare(err))
	case who == foreign:
		return azcore.AccessToken{}, s.failed(resp, nil, "%s, which is not an answer of IMDS, although IMDS has answered here before", answered(resp))
	case granted(resp):
		return s.token(resp)
	}
	return azcore.AccessToken{}, s.rejected(resp)
}

// notHere is the error of a machine on which IMDS has never answered.
func (s *imds) notHere(resp *http.Response, err error) error {
	const advice = "This is no Azure VM, or a firewall, route or proxy keeps this program from its metadata service"
	if resp != nil {
		return s.unavailable(nil, "%s, which is not an answer of IMDS: something else owns this address. %s%s", answered(resp), advice, s.notes)
	}
	return s.unavailable(err, "%v. %s%s", bare(err), advice, s.notes)
}

// refused is the error for an answer of IMDS other than a token.
func (s *imds) rejected(resp *http.Response) error {
	what := answered(resp)
	e, _ := tokenjson.ParseError(payload(resp))
	text := strings.ToLower(e.Description)
	switch status := resp.StatusCode; {
	case status == http.StatusBadRequest && e.NewestVersions:
		return s.failed(resp, nil, "%s. This IMDS does not know the API version %s", what, s.apiVersion)
	case status == http.StatusBadRequest && (e.Code == "invalid_resource" || strings.Contains(text, "aadsts")):
		return s.failed(resp, nil, "%s. Microsoft Entra refuses this resource; check the scope, its slashes included, and that the service exists in this tenant", what)
	case status == http.StatusBadRequest && s.id != "":
		return s.failed(resp, nil, "%s. Is the user-assigned identity with %s %q assigned to this machine?", what, s.kind, s.id)
	case status == http.StatusBadRequest && strings.Contains(text, "multiple") && strings.Contains(text, "identit"):
		return s.failed(resp, nil, "%s. This machine has several user-assigned identities; set ID to the one to use", what)
	case status == http.StatusBadRequest:
		return s.unavailable(nil, "%s. Does this machine have a managed identity? Enable the system-assigned one, or assign one and set ID%s", what, s.notes)
	case status == http.StatusBadGateway || status == http.StatusGatewayTimeout:
		return s.failed(resp, nil, "%s. A web proxy seems to be in the path; IMDS must be asked directly", what)
	}
	return s.failed(resp, nil, "%s", what)
}

// verdict says what the result of an attempt tells about who answers at IMDS's address.
type verdict int

const (
	unasked    verdict = iota // a policy of the caller's, or this machine, let no request go out
	silent                    // nobody answered
	foreign                   // somebody else did
	failing                   // 410, 429 or 5xx of any form: IMDS's host may answer for it
	imdsItself                // IMDS answered
)

func judge(resp *http.Response, err error) verdict {
	var server string
	var status int
	if partial, ok := errors.AsType[*answerError](err); ok {
		server, status = partial.server, partial.status
	} else if err == nil {
		server, status = resp.Header.Get("Server"), resp.StatusCode
	}
	switch none, ok := errors.AsType[*noAnswer](err); {
	case ok && !exhausted(none):
		return silent
	case status == 0:
		return unasked
	case strings.HasPrefix(server, "IMDS/") || err == nil && shaped(payload(resp)):
		return imdsItself
	case status == http.StatusGone || status == http.StatusTooManyRequests || status >= 500:
		return failing
	}
	return foreign
}

// shaped reports whether a body has the shape of IMDS's tokens or errors.
func shaped(body []byte) bool {
	e, isError := tokenjson.ParseError(body)
	return tokenjson.IsToken(body) || isError && e.Code != "" && (e.Description != "" || e.NewestVersions)
}
