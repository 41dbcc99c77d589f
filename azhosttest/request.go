// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Request is a request that a host received, without its secrets.
type Request struct {
	Time     time.Time   // when it arrived
	Method   string      // such as "GET"
	Path     string      // of the URL, as on the real host
	Query    url.Values  // of the URL
	Form     url.Values  // of the body, if the host reads it; see [CloudShell]
	Resource string      // or "" if there is none
	Selector string      // of the identity, such as "client_id=…", or "" if there is none
	Header   http.Header // with "[removed]" instead of secrets
	Remote   string      // the client's address, or "" in memory
	Status   int         // of the response, or 0 if there is none, or not yet
}

// maxLog is the largest number of requests in the log, for hosts that run for days.
const maxLog = 10_000

func (h *Host) newRequest(req *http.Request) Request {
	query := req.URL.Query()
	header := req.Header.Clone()
	for _, name := range []string{"Authorization", "Secret", "X-Identity-Header"} {
		if header.Get(name) != "" {
			header.Set(name, "[removed]")
		}
	}
	r := Request{
		Time: time.Now(), Method: req.Method, Path: h.pathOf(req), Query: query,
		Resource: query.Get("resource"), Selector: strings.Join(h.selected(query), "&"),
		Header: header, Remote: req.RemoteAddr,
	}
	if h.form {
		r.Form = form(req)
		r.Resource = r.Form.Get("resource")
	}
	return r
}

// pathOf returns the path of a request as the real host would see it. The random path element is optional,
// for clients that know only the real host's paths.
func (h *Host) pathOf(req *http.Request) string { return strings.TrimPrefix(req.URL.Path, h.root) }

// maxForm is how much of a body is read, in bytes. A resource takes a few hundred.
const maxForm = 64 << 10

// form returns the parameters in a body, or nil if it isn't a form.
func form(req *http.Request) url.Values {
	media, _, _ := mime.ParseMediaType(req.Header.Get("Content-Type"))
	if media != "application/x-www-form-urlencoded" || req.Body == nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, maxForm))
	if err != nil {
		return nil
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	return values
}

// record adds a request to the log. The caller holds h.mu.
func (h *Host) record(r *Request) {
	h.count++
	if len(h.log) == maxLog {
		h.log = h.log[1:]
	}
	h.log = append(h.log, r)
}

// Requests returns the last 10,000 requests in the order of their arrival. Requests for what the host
// publishes about its tokens aren't included. The maps aren't copies.
func (h *Host) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	log := make([]Request, len(h.log))
	for i, r := range h.log {
		log[i] = *r
	}
	return log
}

// RequestCount returns the number of requests that the host has received. On Arc, a token takes two.
func (h *Host) RequestCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count
}

// RequireRequests fails the test unless the host has received n requests. On Arc, a token takes two;
// see [Host.RequireTokens].
func (h *Host) RequireRequests(t testing.TB, n int) {
	t.Helper()
	if got := h.RequestCount(); got != n {
		h.logRequests(t)
		t.Fatalf("the host received %d requests, want %d", got, n)
	}
}

// RequireTokens fails the test unless the host has issued n tokens. A token that the host sends again because
// of [Host.ReuseTokens] counts again. Faults don't count, even if their body has a token.
func (h *Host) RequireTokens(t testing.TB, n int) {
	t.Helper()
	h.mu.Lock()
	got := h.tokens
	h.mu.Unlock()
	if got != n {
		h.logRequests(t)
		t.Fatalf("the host issued %d tokens, want %d", got, n)
	}
}

func (h *Host) logRequests(t testing.TB) {
	t.Helper()
	for _, r := range h.Requests() {
		t.Logf("%s %s %s %s: %d", r.Method, r.Path, r.Resource, r.Selector, r.Status)
	}
}

// RequireResource fails the test unless the host has received a request for the resource.
func (h *Host) RequireResource(t testing.TB, resource string) {
	t.Helper()
	var seen []string
	for _, r := range h.Requests() {
		if r.Resource == resource {
			return
		}
		seen = append(seen, r.Resource)
	}
	t.Fatalf("the host got no request for %q, only for %q", resource, seen)
}
