// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// keysPath is where a listening host publishes the key that its tokens are signed with.
const keysPath = "/.well-known/jwks.json"

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// PublicKey verifies the signatures (ES256) of this host's tokens. A listening host also publishes
// it as a JSON Web Key Set at /.well-known/jwks.json.
func (h *Host) PublicKey() *ecdsa.PublicKey { return &h.key.PublicKey }

func (h *Host) keys() []byte {
	var x, y [32]byte
	point, err := h.key.PublicKey.Bytes() // 4, X, Y
	if err == nil {
		copy(x[:], point[1:33])
		copy(y[:], point[33:])
	}
	return encode(map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "azhosttest", "x": raw64(x[:]), "y": raw64(y[:]),
	}}})
}

// Verify checks a token's signature and expiry, and returns its claims.
func (h *Host) Verify(token string) (map[string]any, error) {
	signed, signature, _ := strings.Cut(token, ".")
	payload, signature, ok := strings.Cut(signature, ".")
	sum := sha256.Sum256([]byte(signed + "." + payload))
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if !ok || err != nil || len(sig) != 64 ||
		!ecdsa.Verify(h.PublicKey(), sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, errUnverified
	}
	body, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil, errUnverified
	}
	var claims map[string]any
	if err := json.Unmarshal(body, &claims); err != nil {
		return nil, errUnverified
	}
	if exp, _ := claims["exp"].(float64); time.Now().Unix() >= int64(exp) {
		return nil, fmt.Errorf("azhosttest: the token expired at %s", time.Unix(int64(exp), 0).UTC().Format(time.RFC3339))
	}
	return claims, nil
}

// token returns the fields of a successful answer, as IMDS sends them: all strings.
func (h *Host) token(resource string, id Identity) map[string]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.issued++
	now := time.Now()
	expires := now.Add(h.lifetime)
	claims := map[string]any{
		"aud": resource, "iss": "https://sts.windows.net/" + id.TenantID + "/", "tid": id.TenantID,
		"oid": id.ObjectID, "sub": id.ObjectID, "appid": id.ClientID, "idtyp": "app", "ver": "1.0",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": expires.Unix(), "uti": fmt.Sprint(h.issued),
	}
	if id.ResourceID != "" {
		claims["xms_mirid"] = id.ResourceID
	}
	maps.Copy(claims, h.claims)
	fields := map[string]any{
		"access_token": h.sign(claims), "token_type": "Bearer", "resource": resource, "client_id": id.ClientID,
		"expires_in": seconds(expires.Unix() - now.Unix()), "expires_on": seconds(expires.Unix()),
		"not_before": seconds(now.Unix()), "ext_expires_in": seconds(expires.Unix() - now.Unix()),
	}
	if h.refreshIn > 0 {
		fields["refresh_in"] = seconds(int64(h.refreshIn / time.Second))
	}
	return fields
}

// sign returns a JSON Web Token.
func (h *Host) sign(claims map[string]any) string {
	signed := raw64([]byte(`{"alg":"ES256","kid":"azhosttest","typ":"JWT"}`)) + "." + raw64(encode(claims))
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		panic(fmt.Sprintf("azhosttest: %v", err)) // with a P-256 key it cannot
	}
	var sig [64]byte
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return signed + "." + raw64(sig[:])
}

// success is the answer with a token for an identity.
func (h *Host) success(resource string, id Identity, echo map[string]string) reply {
	h.mu.Lock()
	known := h.resources == nil || slices.Contains(h.resources, resource)
	edit := h.edit
	h.mu.Unlock()
	if !known {
		return InvalidResource().reply()
	}
	fields := h.token(resource, id)
	for name, value := range echo {
		fields[name] = value
	}
	if edit != nil {
		edit(fields)
	}
	return reply{status: http.StatusOK, body: encode(fields), header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}}
}

func seconds(n int64) string { return strconv.FormatInt(n, 10) }

func raw64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("azhosttest: %v", err)) // a caller's claim that is not JSON
	}
	return b
}
