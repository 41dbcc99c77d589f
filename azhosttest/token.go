// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// grant identifies what a token is issued for.
type grant struct {
	Identity
	resource string
}

// issued is a token and when it is valid.
type issued struct {
	token       string
	from, until time.Time
}

// Expire makes [Host.Verify] reject every token issued so far, as a service does with a revoked token.
// The next request gets a new, valid token. Use Expire to test what a program does when a service
// rejects the token that its credential has cached.
//
// Tokens don't change: their exp claim, and the expiry that credentials know, stay as they are. So a
// service that checks tokens without Verify still accepts them, and a credential returns its cached
// token until the program reports that it was rejected. To test real expiry, use
// [Host.SetTokenLifetime] in a testing/synctest bubble.
func (h *Host) Expire() {
	h.set(func() { h.unexpired = map[string]bool{}; clear(h.issued) })
}

// token returns a token: a new one, or with ReuseTokens, the one that was issued before.
func (h *Host) token(s settings, resource string, id Identity) (issued, error) {
	h.mu.Lock() // concurrent requests get the same token
	defer h.mu.Unlock()
	now := time.Now()
	g := grant{id, resource}
	if t, ok := h.issued[g]; s.sameToken && ok && now.Before(t.until) {
		return t, nil
	}
	t := issued{from: now, until: now.Add(s.lifetime)}
	issuer := s.issuer + id.TenantID + "/"
	claims := map[string]any{
		"aud": resource, "iss": issuer, "idp": issuer, "tid": id.TenantID,
		"oid": id.ObjectID, "sub": id.ObjectID, "appid": id.ClientID, "appidacr": "2", "idtyp": "app", "ver": "1.0",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": t.until.Unix(), "uti": rand.Text(), "xms_mirid": id.ResourceID,
	}
	if id.ResourceID == "" {
		claims["xms_mirid"] = h.machine
	}
	if h.subject != nil {
		h.subject(claims)
	}
	maps.Copy(claims, s.claims)
	payload, err := json.Marshal(claims)
	if err != nil {
		return t, err
	}
	if t.token, err = h.signer.sign(payload); err != nil {
		return t, err
	}
	if s.sameToken {
		h.issued[g] = t
	}
	if h.unexpired != nil {
		h.unexpired[t.token] = true
	}
	return t, nil
}

// success returns the response with a token for an identity. Its fields are strings, as IMDS sends
// them, except where the host's shape changes them. echo is a selector to repeat, or "".
func (h *Host) success(s settings, resource string, id Identity, echo string) reply {
	if s.resources != nil && !slices.Contains(s.resources, resource) {
		return h.unknown()
	}
	t, err := h.token(s, resource, id)
	if err != nil {
		return h.refuse(http.StatusInternalServerError, "azhosttest", "claims: "+err.Error())
	}
	left := seconds(t.until.Unix() - time.Now().Unix())
	fields := map[string]any{
		"access_token": t.token, "token_type": "Bearer", "resource": resource, "client_id": id.ClientID,
		"expires_in": left, "ext_expires_in": left,
		"expires_on": seconds(t.until.Unix()), "not_before": seconds(t.from.Unix()),
	}
	if s.refreshIn > 0 {
		fields["refresh_in"] = seconds(int64(s.refreshIn / time.Second))
	}
	if h.shape != nil {
		h.shape(fields)
	}
	if name, value, ok := strings.Cut(echo, "="); ok {
		fields[name] = value
	}
	if s.edit != nil {
		s.edit(fields)
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return h.refuse(http.StatusInternalServerError, "azhosttest", "fields: "+err.Error())
	}
	return reply{status: http.StatusOK, body: body, header: http.Header{"Content-Type": {jsonType}}, token: true}
}

func seconds(n int64) string { return strconv.FormatInt(n, 10) }

// encode returns the JSON of a value that can't fail to encode.
func encode(v any) []byte {
	b, _ := json.Marshal(v)
	return b
}
