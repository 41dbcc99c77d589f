// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package orders is a small service and its client. It uses azcore's credential interface. Only its tests
// import azhost.
package orders

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Audience is the service's App ID URI, the value of the aud claim in tokens for it.
const Audience = "api://orders"

// Client places orders. All fields are required. It is safe for concurrent use.
type Client struct {
	URL        string // the service's
	Credential azcore.TokenCredential
	HTTP       *http.Client
}

// Place places an order and returns the service's response. It fails if there is no token, or if the
// service doesn't return 200.
func (c *Client) Place(ctx context.Context, order string) (string, error) {
	token, err := c.Credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{Audience + "/.default"}})
	if err != nil {
		return "", fmt.Errorf("place order: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, strings.NewReader(order))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+token.Token)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("place order: %s: %s", resp.Status, strings.TrimSpace(string(answer)))
	}
	return string(answer), nil
}

// Service accepts orders from the identities whose object IDs are in Buyers. Verify checks a token's
// signature and expiry and returns its claims, as a JWT library does.
type Service struct {
	Verify func(token string) (claims map[string]any, err error)
	Buyers []string
}

// ServeHTTP accepts an order.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		http.Error(w, "missing bearer token", http.StatusUnauthorized)
		return
	}
	claims, err := s.Verify(token)
	if err != nil {
		http.Error(w, "invalid token", http.StatusUnauthorized)
		return
	}
	if claims["aud"] != Audience {
		http.Error(w, "wrong audience", http.StatusUnauthorized)
		return
	}
	buyer, _ := claims["oid"].(string)
	if !slices.Contains(s.Buyers, buyer) {
		http.Error(w, "not a buyer", http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "ordered by %s", buyer)
}
