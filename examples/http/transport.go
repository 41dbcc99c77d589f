// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Transport sends requests to one host with a bearer token. All fields except Base are required. A Transport
// is safe for concurrent use if its fields are.
type Transport struct {
	Host       string // with its port, if the URL has one; requests to other hosts fail, even after a redirect
	Scope      string // such as api://orders/.default
	Credential azcore.TokenCredential
	Base       http.RoundTripper // nil means http.DefaultTransport
}

// RoundTrip sends req. If the service responds with a claims challenge (Continuous Access
// Evaluation), RoundTrip sends req once more, with a new token.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" || req.URL.Host != t.Host {
		if req.Body != nil {
			req.Body.Close() // a RoundTripper must always close it
		}
		return nil, fmt.Errorf("tokens go to https://%s only, not to %s://%s", t.Host, req.URL.Scheme, req.URL.Host)
	}
	resp, err := t.send(req, "")
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	claims := challenge(resp.Header)
	hasBody := req.Body != nil && req.Body != http.NoBody
	if claims == "" || hasBody && req.GetBody == nil {
		return resp, nil
	}
	again := req.Clone(req.Context())
	if hasBody {
		if again.Body, err = req.GetBody(); err != nil {
			return resp, nil // the challenge is more useful to the caller than err
		}
	}
	resp.Body.Close()
	return t.send(again, claims)
}

func (t *Transport) send(req *http.Request, claims string) (*http.Response, error) {
	token, err := t.Credential.GetToken(req.Context(), policy.TokenRequestOptions{Scopes: []string{t.Scope}, Claims: claims})
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	req = req.Clone(req.Context()) // a RoundTripper must not change its request
	req.Header.Set("Authorization", "Bearer "+token.Token)
	return base.RoundTrip(req)
}

// challenge returns the claims that the service requires in the next token, or "".
func challenge(h http.Header) string {
	for _, value := range h.Values("WWW-Authenticate") {
		scheme, parameters, _ := strings.Cut(value, " ")
		_, rest, found := strings.Cut(parameters, `claims="`)
		encoded, _, closed := strings.Cut(rest, `"`)
		if !strings.EqualFold(scheme, "Bearer") || !strings.Contains(parameters, `error="insufficient_claims"`) || !found || !closed {
			continue
		}
		if claims, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return string(claims)
		}
	}
	return ""
}
