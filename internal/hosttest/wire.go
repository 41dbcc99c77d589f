// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package hosttest has fixtures for tests that use only azhost's exported API: hosts whose responses a
// function returns, credentials for them, and their environment variables. Unlike azhosttest, it doesn't
// implement the hosts' protocols. Its folders contain tests that cover several files of azhost.
package hosttest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Wire is a transport that returns the response of Answer to the n-th request, counted from 1.
type Wire struct {
	Answer func(n int, req *http.Request) (*http.Response, error)
	n      atomic.Int32
}

// Do returns the response to a request.
func (w *Wire) Do(req *http.Request) (*http.Response, error) {
	resp, err := w.Answer(int(w.n.Add(1)), req)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// Requests returns the number of requests so far.
func (w *Wire) Requests() int { return int(w.n.Load()) }

// Always returns a wire that responds to every request in the same way.
func Always(answer func(*http.Request) (*http.Response, error)) *Wire {
	return &Wire{Answer: func(_ int, req *http.Request) (*http.Response, error) { return answer(req) }}
}

// LateBy returns a host that works after d. Until then, it responds with meanwhile.
func LateBy(d time.Duration, meanwhile func(*http.Request) (*http.Response, error)) *Wire {
	start := time.Now()
	return Always(func(req *http.Request) (*http.Response, error) {
		if time.Since(start) < d {
			return meanwhile(req)
		}
		return GoodToken(req)
	})
}

// Answer returns a function for [Always] whose response has a status, a body, and headers as "Name: value".
func Answer(status int, body string, headers ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			resp.Header.Add(name, value)
		}
		return resp, nil
	}
}

// GoodToken returns IMDS's response with a token that is valid for a day.
func GoodToken(req *http.Request) (*http.Response, error) {
	now := time.Now().Unix()
	return Answer(200, fmt.Sprintf(`{"access_token":"the.token","expires_in":"86400","expires_on":"%d","resource":%q,"token_type":"Bearer"}`,
		now+86400, req.URL.Query().Get("resource")), "Server: IMDS/150.870.65.1854")(req)
}

// RefusedDial returns the error of a dialer if no program listens.
func RefusedDial(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

// DroppedDial returns the error of a dialer if packets are dropped, after azhost's ConnectTimeout.
func DroppedDial(req *http.Request) (*http.Response, error) {
	select {
	case <-time.After(2 * time.Second):
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
}

// Reset returns the error of a connection that something on the network path reset.
func Reset(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}
