// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"net/http"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/advice"
	"github.com/azhost/azhost/internal/tokenjson"
)

// imds is the Instance Metadata Service of an Azure VM.
type imds struct {
	protocol
	gate  *gate
	known func() bool // whether IMDS is known to exist
	notes string      // about incomplete variables, which may be why IMDS was chosen
}

func newIMDS(in *setup) source {
	return &imds{
		protocol: protocol{identity: in.identity, label: in.host.label, apiVersion: "2018-02-01", resourceID: "msi_res_id"},
		gate:     in.gate,
		known:    in.known,
		notes:    in.notes,
	}
}

// request implements [source].
func (s *imds) request(ctx context.Context, w want) (*policy.Request, error) {
	return s.build(ctx, w.resource)
}

// genuine reports whether a response comes from IMDS, and not from another cloud's metadata service, a
// captive portal, or a proxy. It recognizes IMDS by its Server header, by the header of the Metadata
// Security Protocol's agent, or by JSON in the shape of its tokens and errors. While IMDS restarts, the
// Azure host may respond instead, with a Server header such as Microsoft-IIS.
func (s *imds) genuine(resp *http.Response, err error) bool {
	if err != nil {
		resp = responseOf(err)
	}
	if resp == nil {
		return false
	}
	server := resp.Header.Get("Server")
	if strings.HasPrefix(server, "IMDS/") || strings.HasPrefix(server, "Microsoft-") || resp.Header.Get("x-ms-azure-host-authorization") != "" {
		return true
	}
	if err != nil { // the body may be incomplete
		return false
	}
	body := payload(resp)
	if tokenjson.IsToken(body) {
		return true
	}
	e, isError := tokenjson.ParseError(body)
	return isError && e.Code != "" && (e.Description != "" || e.NewestVersions)
}

// token implements [source]. Without a token in the response, its error depends on whether IMDS sent it.
func (s *imds) token(resp *http.Response, log *journal) (azcore.AccessToken, error) {
	if !s.genuine(resp, nil) && !s.known() {
		return azcore.AccessToken{}, s.explain(resp, nil)
	}
	return s.protocol.token(resp, log)
}

// explain implements [source].
func (s *imds) explain(resp *http.Response, err error) error {
	known := s.known() || s.genuine(resp, err)
	if err != nil {
		problem := problemOf(err)
		if problem == advice.Foreign && known {
			problem = advice.Refusal
		}
		f := advice.Failure{Problem: problem, Status: statusOf(nil, err), OnAzure: known, Responded: s.gate.hasResponded(), Pod: os.Getenv("KUBERNETES_SERVICE_HOST") != ""}
		if problem == advice.Local || problem == advice.Refusal || f.Responded {
			return s.failed(nil, err, "%s%s", describe(err), s.advice(nil, f))
		}
		return s.unavailable(nil, err, "%s%s%s", describe(err), s.advice(nil, f), s.notes)
	}
	if !known {
		return s.unavailable(resp, nil, "%s%s%s", describeResponse(resp), s.advice(resp, advice.Failure{Problem: advice.Foreign}), s.notes)
	}
	what := describeResponse(resp) + s.advice(resp, advice.Failure{OnAzure: true})
	if !s.offersIdentity(resp) {
		return s.unavailable(resp, nil, "%s%s", what, s.notes)
	}
	return s.failed(resp, nil, "%s", what)
}

// offersIdentity reports whether the machine may have an identity although IMDS rejected the request. As
// with azidentity, a chain continues after a 400 for the system-assigned identity, and after Docker
// Desktop's 403. An error from Microsoft Entra ID means that the identity exists.
func (s *imds) offersIdentity(resp *http.Response) bool {
	body := payload(resp)
	e, _ := tokenjson.ParseError(body)
	switch resp.StatusCode {
	case http.StatusBadRequest:
		return s.id != "" || e.NewestVersions || e.Code == "invalid_resource" || strings.Contains(e.Description, "AADSTS") || advice.Several(e.Description)
	case http.StatusForbidden:
		return s.gate.hasResponded() || !strings.Contains(string(body), "unreachable")
	}
	return true
}
