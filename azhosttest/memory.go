// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// silence is how long connecting to a silent host takes, as with [http.DefaultTransport].
const silence = 30 * time.Second

var _ policy.Transporter = (*Host)(nil)

// Do handles a request in memory, whatever host its URL has. It implements azcore's [policy.Transporter],
// returns when the request's context is done, and leaves no goroutine behind.
func (h *Host) Do(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	failed := func(op string, err error) (*http.Response, error) {
		port, _ := strconv.Atoi(req.URL.Port())
		if port == 0 {
			port = 80
		}
		address := &net.TCPAddr{IP: net.ParseIP(req.URL.Hostname()), Port: port}
		if req.URL.Hostname() == "localhost" {
			address.IP = net.IPv4(127, 0, 0, 1)
		}
		return nil, &net.OpError{Op: op, Net: "tcp", Addr: address, Err: err}
	}
	switch s := h.current(); {
	case s.silent:
		if err := sleep(req.Context(), silence); err != nil {
			return nil, err
		}
		return failed("dial", os.ErrDeadlineExceeded)
	case s.stopped:
		return failed("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED))
	}
	r, err := h.answer(req)
	switch {
	case err != nil:
		return nil, err
	case r.drop:
		return failed("read", io.EOF)
	}
	var body io.Reader = bytes.NewReader(r.body)
	if r.cut {
		body = io.MultiReader(bytes.NewReader(r.body[:len(r.body)/2]), broken{})
	}
	return &http.Response{
		StatusCode: r.status, Status: fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(body), ContentLength: int64(r.length()), Request: req,
		Close: r.header.Get("Connection") == "close",
	}, nil
}

// broken is the rest of a truncated body.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
