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

// store is a Data Lake Store (Gen1). Its client must not follow redirects by itself.
type store struct {
	url    string // such as https://mystore.azuredatalakestore.net
	cred   azcore.TokenCredential
	client *http.Client
}

// storeDomain is where every store is, and every place that one redirects to.
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

// create writes a file: the store first says where to, then the content is sent there.
func (s *store) create(ctx context.Context, path string, content []byte) error {
	first, err := s.send(ctx, http.MethodPut, s.url+"/webhdfs/v1/"+path+"?op=CREATE", content, http.StatusTemporaryRedirect)
	if err != nil {
		return err
	}
	first.Body.Close()
	target, err := first.Location() // resolves a relative one
	if err != nil {
		return fmt.Errorf("CREATE: %w", err)
	}
	second, err := s.send(ctx, http.MethodPut, target.String(), content, http.StatusCreated)
	if err != nil {
		return err
	}
	return second.Body.Close()
}

// send sends a request with the token, but only to a store.
func (s *store) send(ctx context.Context, method, target string, content []byte, want int) (*http.Response, error) {
	// The target may be a redirect's, and whoever gets the token can use it.
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "https" || !strings.HasSuffix(u.Hostname(), storeDomain) {
		return nil, fmt.Errorf("%s: the token is for https://*%s only, not for %.200q", method, storeDomain, target)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	// Two slashes: the audience ends in one, which Data Lake compares, and /.default begins with one.
	token, err := s.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://datalake.azure.net//.default"}})
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token.Token) // the capital B matters
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != want {
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("%s %s: %s instead of %d: %s", method, u.Redacted(), resp.Status, want, body)
	}
	return resp, nil
}
