// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"
)

// Request is a request that a host has answered, without its secrets.
type Request struct {
	Time     time.Time   // when it arrived
	Method   string      //
	Path     string      //
	Query    url.Values  //
	Resource string      // the resource asked for
	Selector string      // the identity asked for, such as "client_id=…", or ""
	Header   http.Header // "[removed]" in the place of secrets
	Status   int         // of the answer; 0 when the connection was dropped
}

func newRequest(req *http.Request) Request {
	query := req.URL.Query()
	header := req.Header.Clone()
	for _, name := range []string{"Authorization", "Secret", "X-Identity-Header"} {
		if header.Get(name) != "" {
			header.Set(name, "[removed]")
		}
	}
	return Request{
		Time: time.Now(), Method: req.Method, Path: req.URL.Path, Query: query,
		Resource: query.Get("resource"), Header: header,
	}
}

// Requests returns the requests so far, in the order of their answers.
func (h *Host) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.log)
}

// OnRequest calls f after every answer, possibly from several goroutines at once.
func (h *Host) OnRequest(f func(Request)) { h.set(func() { h.observer = f }) }

// RequireRequests fails the test unless the host has answered n requests.
func (h *Host) RequireRequests(t testing.TB, n int) {
	t.Helper()
	log := h.Requests()
	if len(log) == n {
		return
	}
	for _, r := range log {
		t.Logf("%s %s %s %s: %d", r.Method, r.Path, r.Resource, r.Selector, r.Status)
	}
	t.Fatalf("the host answered %d requests, want %d", len(log), n)
}

// RequireResource fails the test unless the host was asked for the resource.
func (h *Host) RequireResource(t testing.TB, resource string) {
	t.Helper()
	var seen []string
	for _, r := range h.Requests() {
		if r.Resource == resource {
			return
		}
		seen = append(seen, r.Resource)
	}
	t.Fatalf("nobody asked for %q, only for %q", resource, seen)
}
