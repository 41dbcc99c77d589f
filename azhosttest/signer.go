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
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// signer signs the tokens of one host.
type signer struct {
	key  *ecdsa.PrivateKey
	id   string // the key's thumbprint, RFC 7638
	x, y string // of the public key
}

func newSigner() (signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signer{}, err
	}
	point, err := key.PublicKey.Bytes() // 4, X, Y
	if err != nil {
		return signer{}, err
	}
	s := signer{key: key, x: raw64(point[1:33]), y: raw64(point[33:])}
	sum := sha256.Sum256(encode(map[string]any{"crv": "P-256", "kty": "EC", "x": s.x, "y": s.y}))
	s.id = raw64(sum[:])
	return s, nil
}

// sign returns a JSON Web Token.
func (s signer) sign(claims []byte) (string, error) {
	header := encode(map[string]any{"alg": "ES256", "kid": s.id, "typ": "JWT"})
	signed := raw64(header) + "." + raw64(claims)
	sum := sha256.Sum256([]byte(signed))
	r, t, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", err
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	t.FillBytes(signature[32:])
	return signed + "." + raw64(signature[:]), nil
}

// keySet returns the JSON Web Key Set.
func (s signer) keySet() map[string]any {
	return map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": s.id, "x": s.x, "y": s.y,
	}}}
}

// PublicKey returns the key that verifies the signatures (ES256) of this host's tokens. Each host has
// a different key, and also publishes it as a JSON Web Key Set at /.well-known/jwks.json.
func (h *Host) PublicKey() *ecdsa.PublicKey { return &h.signer.key.PublicKey }

// Verify checks a token's signature and expiry, and returns its claims, with numbers as float64.
// The caller checks the audience and the issuer.
func (h *Host) Verify(token string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("azhosttest: this is not a JSON Web Token")
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 ||
		!ecdsa.Verify(h.PublicKey(), sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return nil, errors.New("azhosttest: the token was not signed by this host")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("azhosttest: the token's claims: %w", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, fmt.Errorf("azhosttest: the token's claims: %w", err)
	}
	if exp, _ := claims["exp"].(float64); time.Now().Unix() >= int64(exp) {
		return nil, fmt.Errorf("azhosttest: the token expired at %s", time.Unix(int64(exp), 0).UTC().Format(time.RFC3339))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unexpired != nil && !h.unexpired[token] {
		return nil, errors.New("azhosttest: the token expired when the test called Expire")
	}
	return claims, nil
}

func raw64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
