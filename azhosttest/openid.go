// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"net/http"
	"net/url"
	"strings"
)

const (
	// keysPath is where a host publishes the key that its tokens are signed with.
	keysPath = "/.well-known/jwks.json"
	// configurationPath ends the path of its OpenID Connect configuration, and may follow a tenant ID.
	configurationPath = "/.well-known/openid-configuration"
	// entra begins the issuers of Microsoft Entra's version 1 tokens.
	entra = "https://sts.windows.net/"
)

// Issuer returns the "iss" claim of new tokens of the first identity. It is the issuer of Microsoft
// Entra ID, or after [Host.ServeIssuer], the host.
func (h *Host) Issuer() string {
	s := h.current()
	if len(s.identities) > 0 {
		return s.issuer + s.identities[0].TenantID + "/"
	}
	return s.issuer + SystemAssigned().TenantID + "/"
}

// ServeIssuer makes the host the issuer of new tokens, and returns the issuer's URL on loopback.
// Configure a service under test with this URL, and its OpenID Connect library finds the
// configuration and the signing key by discovery. Tokens are signed with ES256; Microsoft Entra ID
// uses RS256.
//
// Without ServeIssuer, tokens have the issuer of Microsoft Entra ID. A service whose HTTP client calls
// [Host.Do] can discover that issuer as well, without a socket.
func (h *Host) ServeIssuer() string {
	base := strings.TrimSuffix(h.Endpoint(), h.path) + "/"
	h.set(func() { h.settings.issuer = base })
	return h.Issuer()
}

// published returns the response to a request for the configuration or the key set.
func (h *Host) published(req *http.Request) (reply, bool) {
	path := h.pathOf(req)
	before, isConfiguration := strings.CutSuffix(path, configurationPath)
	var document map[string]any
	switch {
	case req.Method != http.MethodGet:
		return reply{}, false
	case path == keysPath:
		document = h.signer.keySet()
	case isConfiguration:
		issuer := h.Issuer()
		if tenant := strings.TrimPrefix(before, "/"); tenant != "" {
			issuer = h.current().issuer + tenant + "/"
		}
		document = map[string]any{
			"issuer":                                issuer,
			"jwks_uri":                              origin(req) + keysPath,
			"id_token_signing_alg_values_supported": []string{"ES256"},
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"pairwise"},
		}
	default:
		return reply{}, false
	}
	return reply{status: http.StatusOK, body: encode(document), header: http.Header{"Content-Type": {jsonType}}}, true
}

// origin returns the scheme and host that a request was sent to.
func origin(req *http.Request) string {
	u := url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host} // empty, except in memory
	if u.Host == "" {
		u.Scheme, u.Host = "http", req.Host
	}
	if req.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}
