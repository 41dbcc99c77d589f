// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

const (
	// maxBody bounds an answer; a token with its fields is a few kilobytes.
	maxBody = 1 << 20

	defaultConnectTimeout = 2 * time.Second

	// tlsTimeout is that of net/http's default transport.
	tlsTimeout = 10 * time.Second
)

// transportOf returns the transport that sends requests: the default client, a copy of the caller's
// client that follows no redirect, or the caller's transport as it is.
func transportOf(o *ManagedIdentityCredentialOptions) policy.Transporter {
	switch t := o.Transport.(type) {
	case nil:
		return newHTTPClient(o.ConnectTimeout)
	case *http.Client:
		own := *t
		own.CheckRedirect = noRedirect
		return &own
	default:
		return t
	}
}

// noRedirect makes the client return a redirect, which transport then rejects.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// newHTTPClient returns the client for host endpoints. All of them are on this machine or one
// link away, and the requests carry secrets, so nothing may send them elsewhere.
func newHTTPClient(connectTimeout time.Duration) *http.Client {
	if connectTimeout == 0 {
		connectTimeout = defaultConnectTimeout
	}
	dialer := net.Dialer{Timeout: connectTimeout}
	return &http.Client{
		CheckRedirect: noRedirect,
		Transport: &http.Transport{
			Proxy: nil, // net/http would send 169.254.169.254 through HTTP_PROXY
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				host, port, err := net.SplitHostPort(address)
				if err != nil || !strings.EqualFold(host, "localhost") {
					return dialer.DialContext(ctx, network, address)
				}
				// A resolver or a hosts file could send "localhost" anywhere.
				return dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
			},
			TLSHandshakeTimeout:    tlsTimeout,      // net/http detaches a handshake from its request's context
			DisableCompression:     true,            // a small body must not unfold into a large one
			MaxResponseHeaderBytes: 64 << 10,        // as much as a WWW-Authenticate could ever need
			MaxIdleConnsPerHost:    maxAttempts,     // as many as can be in use
			IdleConnTimeout:        5 * time.Second, // enough for an Arc exchange and for a burst at start
		},
	}
}

// transport is the last step of the pipeline. It rejects redirects, even if the transport under it
// followed them, and limits the size of the body.
type transport struct{ next policy.Transporter }

// Do implements [policy.Transporter].
func (t *transport) Do(req *http.Request) (*http.Response, error) {
	resp, err := t.next.Do(req)
	if err != nil {
		return nil, &noAnswer{req.URL, err}
	}
	if resp == nil {
		return nil, final{errors.New("the Transport returned neither a response nor an error")}
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	defer resp.Body.Close()
	if resp.Request == nil || resp.Request.URL == nil {
		resp.Request = req
	}
	secret := secretOf(req)
	reject := func(err error) error {
		return &answerError{server: resp.Header.Get("Server"), status: resp.StatusCode, err: err}
	}
	if resp.Request.Response != nil {
		return nil, final{reject(fmt.Errorf("the Transport followed a redirect to %s; set its CheckRedirect to return http.ErrUseLastResponse", withoutSecret(place(resp.Request.URL), secret)))}
	}
	if resp.StatusCode/100 == 3 {
		to := "nowhere"
		if u, err := resp.Location(); err == nil {
			to = withoutSecret(place(u), secret)
		}
		return nil, final{reject(fmt.Errorf("a redirect (status %d) to %s, which is not followed", resp.StatusCode, to))}
	}
	var body bytes.Buffer
	body.Grow(int(min(max(resp.ContentLength, 0), 16<<10)) + bytes.MinRead) // once, for any usual answer
	_, err = body.ReadFrom(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, reject(fmt.Errorf("an answer (status %d) that was cut short: %w", resp.StatusCode, bare(err)))
	case body.Len() > maxBody:
		return nil, final{reject(fmt.Errorf("an answer (status %d) of more than 1 MiB", resp.StatusCode))}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body.Bytes()))
	resp.Header = headerWithoutSecret(resp.Header, secret)
	return resp, nil
}

// noAnswer is the error of a request without a response.
type noAnswer struct {
	from *url.URL
	err  error
}

func (e *noAnswer) Error() string { return e.err.Error() }
func (e *noAnswer) Unwrap() error { return e.err }

// answerError is the error of a response that was rejected or not read completely.
type answerError struct {
	server string // its Server header
	status int
	err    error
}

func (e *answerError) Error() string { return e.err.Error() }
func (e *answerError) Unwrap() error { return e.err }

// final marks an error that retry must not repeat.
type final struct{ error }

func (f final) Unwrap() error { return f.error }
func (final) NonRetriable()   {}

// place formats a URL for an error, without user information and query, at 200 bytes at most.
func place(u *url.URL) string {
	return fmt.Sprintf("%.200q", u.Scheme+"://"+u.Host+u.EscapedPath())
}
