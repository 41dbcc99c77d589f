// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// store is a Data Lake Storage Gen1 account. Its client must not follow redirects.
type store struct {
	url    string // such as https://mystore.azuredatalakestore.net
	cred   azcore.TokenCredential
	client *http.Client
}

// storeDomain is the domain of every account, and of every URL that an account redirects to.
const storeDomain = ".azuredatalakestore.net"

// list returns the names in the root folder.
func (s *store) list(ctx context.Context) ([]string, error) {
	resp, err := s.send(ctx, http.MethodGet, s.url+"/webhdfs/v1/?op=LISTSTATUS", nil, http.StatusOK)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		FileStatuses struct {
			FileStatus []struct {
				PathSuffix string `json:"pathSuffix"`
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("LISTSTATUS: %w", err)
	}
	var names []string
	for _, status := range answer.FileStatuses.FileStatus {
		names = append(names, status.PathSuffix)
	}
	return names, nil
}

// create writes a file. The account redirects the first request to the URL that takes the content.
func (s *store) create(ctx context.Context, path string, content []byte) error {
	first, err := s.send(ctx, http.MethodPut, s.url+"/webhdfs/v1/"+path+"?op=CREATE", content, http.StatusTemporaryRedirect)
	if err != nil {
		return err
	}
	first.Body.Close()
	target, err := first.Location() // resolves relative URLs
	if err != nil {
		return fmt.Errorf("CREATE: %w", err)
	}
	second, err := s.send(ctx, http.MethodPut, target.String(), content, http.StatusCreated)
	if err != nil {
		return err
	}
	return second.Body.Close()
}

// send sends a request with a token. It rejects a target outside storeDomain.
func (s *store) send(ctx context.Context, method, target string, content []byte, want int) (*http.Response, error) {
	// A redirect may lead anywhere, and the server that receives the token can use it.
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "https" || !strings.HasSuffix(u.Hostname(), storeDomain) {
		return nil, fmt.Errorf("%s: refusing to send the token to %.200q: not an HTTPS URL in %s", method, target, storeDomain)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	// The audience ends in a slash, which Data Lake requires, so the scope has two.
	token, err := s.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://datalake.azure.net//.default"}})
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token.Token) // Data Lake requires the capital B
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("%s %s: got status %s, want %d: %s", method, u.Redacted(), resp.Status, want, body)
	}
	return resp, nil
}
