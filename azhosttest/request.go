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

// Request is a request that a host got, without its secrets.
type Request struct {
	Time     time.Time   // when it arrived
	Method   string      // such as "GET"
	Path     string      // of the URL, as on the real host
	Query    url.Values  // of the URL
	Form     url.Values  // of the body, where the host takes one: see [CloudShell]
	Resource string      // the resource asked for, or ""
	Selector string      // the identity asked for, such as "client_id=…", or ""
	Header   http.Header // "[removed]" in the place of secrets
	Remote   string      // the client's address, or "" in memory
	Status   int         // of the answer; 0 when there was none, or none yet
}

// maxLog bounds the log of a host that serves for days, in requests.
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

// pathOf returns the path of a request as the real host would see it. The host's own path element is
// optional, for clients that know the real host's paths alone.
func (h *Host) pathOf(req *http.Request) string { return strings.TrimPrefix(req.URL.Path, h.root) }

// maxForm bounds a body, in bytes; a resource takes a few hundred.
const maxForm = 64 << 10

// form returns the parameters in a body; none if it is no form.
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

// Requests returns the requests so far in the order of their arrival, of more than 10,000 the
// last. Their maps are not copies. Requests for the signing keys are not among them.
func (h *Host) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	log := make([]Request, len(h.log))
	for i, r := range h.log {
		log[i] = *r
	}
	return log
}

// RequestCount returns how many requests the host has got. On Arc, a token takes two.
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

// RequireTokens fails the test unless the host has issued n tokens: the answers with one, which count
// again when [Host.ReuseTokens] repeats a token. Faults don't count, whatever their body.
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
	t.Fatalf("the host got no request for %q, only for %q", resource, seen)
}
