// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// app is the web app.
type app struct {
	client  runtime.Pipeline
	manager string // URL of Azure Resource Manager
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	// The health endpoint doesn't request a token. If it did, the platform would restart every instance while
	// the token endpoint is down, and each would lose its cached token.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		names, err := a.subscriptions(r.Context())
		if err != nil {
			log.Print(err) // err says what to do, but not to the app's users
			http.Error(w, "Azure Resource Manager is unavailable", http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, "subscriptions:", cmp.Or(strings.Join(names, ", "), "none"))
	})
	return mux
}

// subscriptions returns the names of the first subscriptions that the identity can read.
func (a *app) subscriptions(ctx context.Context) ([]string, error) {
	req, err := runtime.NewRequest(ctx, http.MethodGet, a.manager+"/subscriptions?api-version=2022-12-01")
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	if !runtime.HasStatusCode(resp, http.StatusOK) {
		return nil, runtime.NewResponseError(resp)
	}
	var page struct {
		Value []struct{ DisplayName string }
	}
	if err := runtime.UnmarshalAsJSON(resp, &page); err != nil {
		return nil, err
	}
	var names []string
	for _, s := range page.Value {
		names = append(names, s.DisplayName)
	}
	return names, nil
}
