// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// watch is a pipeline policy that keeps the shape of every response. Its zero value is ready to use.
type watch struct {
	mu      sync.Mutex // guards the fields below
	answers []string
	product string // the last Server header
}

var _ policy.Policy = (*watch)(nil)

// Do implements [policy.Policy].
func (w *watch) Do(req *policy.Request) (*http.Response, error) {
	resp, err := req.Next()
	answer, product := "no response", ""
	if err == nil {
		body, failed := runtime.Payload(resp)
		if failed != nil {
			return nil, failed
		}
		answer = fmt.Sprintf("%d: headers %s; body %s", resp.StatusCode, headers(resp.Header), shape(body))
		product = resp.Header.Get("Server")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = append(w.answers, answer)
	if product != "" {
		w.product = product
	}
	return resp, err
}

func (w *watch) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.answers)
}

func (w *watch) server() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.product
}

// distinct returns each shape once, in order.
func (w *watch) distinct() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	answers := slices.Clone(w.answers)
	slices.Sort(answers)
	return slices.Compact(answers)
}

// headers returns the names of the headers.
func headers(h http.Header) string {
	var names []string
	for key := range h {
		names = append(names, name(key))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
