// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

const (
	// maxBody is the largest body of a response, in bytes. One with a token has a few kilobytes.
	maxBody = 1 << 20

	defaultConnectTimeout = 2 * time.Second

	// tlsTimeout is that of net/http's default transport.
	tlsTimeout = 10 * time.Second
)

// transportOf returns the transport that sends requests: the default client, a copy of the caller's client,
// or the caller's transport as is. The clients don't follow redirects. Except for IMDS, which has no secrets,
// they use each connection once.
func transportOf(in *setup) policy.Transporter {
	client, ok := in.options.Transport.(*http.Client)
	switch {
	case in.options.Transport == nil:
		client = newHTTPClient(in.options.ConnectTimeout)
	case !ok:
		return in.options.Transport
	}
	own := *client
	own.CheckRedirect = noRedirect
	if in.host.source != SourceIMDS {
		own.Transport = unpooled(client.Transport)
	}
	return &own
}

// unpooled returns a copy of rt that opens a connection for every request, and dials localhost as
// 127.0.0.1. On a used connection, the peer may be a program that held the port earlier, and if the
// connection breaks, net/http sends the request and its secret again on another one. A RoundTripper
// that is not net/http's is returned as it is.
func unpooled(rt http.RoundTripper) http.RoundTripper {
	if rt == nil {
		rt = http.DefaultTransport
	}
	t, ok := rt.(*http.Transport)
	if !ok || t == nil {
		return rt
	}
	t = t.Clone()
	t.DisableKeepAlives = true
	// An HTTP/2 transport could use the connection pool of the caller's transport.
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	t.ForceAttemptHTTP2, t.HTTP2, t.Protocols = false, nil, nil
	if t.TLSClientConfig != nil {
		t.TLSClientConfig.NextProtos = nil
	}
	//lint:ignore SA1019 net/http still calls the deprecated fields if the others are nil
	plain, encrypted := t.Dial, t.DialTLS
	if t.DialContext == nil && plain == nil {
		t.DialContext = new(net.Dialer).DialContext
	}
	t.DialContext, t.DialTLSContext = toLoopback(t.DialContext, plain), toLoopback(t.DialTLSContext, encrypted)
	return t
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// toLoopback returns a function like dial, or like old if dial is nil, that connects to 127.0.0.1 for
// localhost, which a resolver or a hosts file could send anywhere. It returns nil if both are nil.
func toLoopback(dial dialFunc, old func(network, address string) (net.Conn, error)) dialFunc {
	switch {
	case dial == nil && old == nil:
		return nil
	case dial == nil:
		dial = func(_ context.Context, network, address string) (net.Conn, error) { return old(network, address) }
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if host, port, err := net.SplitHostPort(address); err == nil && strings.EqualFold(host, "localhost") {
			address = net.JoinHostPort("127.0.0.1", port)
		}
		return dial(ctx, network, address)
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
		Transport: &http.Transport{
			Proxy:                  nil, // net/http would send 169.254.169.254 through HTTP_PROXY
			DialContext:            toLoopback(dialer.DialContext, nil),
			TLSHandshakeTimeout:    tlsTimeout,      // net/http doesn't end a handshake when the request's context is done
			DisableCompression:     true,            // a small body must not expand into a large one
			MaxResponseHeaderBytes: 64 << 10,        // more than any WWW-Authenticate needs
			MaxIdleConnsPerHost:    maxAttempts,     // all that can be in use at once
			IdleConnTimeout:        5 * time.Second, // long enough for the burst of requests when a program starts
		},
	}
}

// transport is the last step of the pipeline. It rejects redirects, even if the transport under it
// followed them, and limits the size of the body.
type transport struct{ next policy.Transporter }

// Do implements [policy.Transporter].
func (t *transport) Do(req *http.Request) (*http.Response, error) {
	ctx, connecting := watched(req.Context())
	resp, err := t.next.Do(req.WithContext(ctx))
	secret := secretOf(req)
	if err != nil {
		return nil, &noResponse{req.URL, errWithoutSecret(err, secret), connecting.Load()}
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
	last, original := resp.Request, resp
	resp = new(http.Response) // net/http adds the trailer to the original when its body was read
	*resp = *original
	if secret != "" { // the status text and the trailer may repeat it
		resp.Status, resp.Trailer = strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))), nil
	}
	resp.Request = req // a Transport's own request may lack the secret, which is needed to remove it from texts
	var body bytes.Buffer
	reject := func(err error) error {
		own := *resp
		own.Header, own.Body = headerWithoutSecret(resp.Header, secret), http.NoBody
		if secret == "" { // otherwise, a part of the secret could remain at a cut
			own.Body = io.NopCloser(bytes.NewReader(bytes.Clone(body.Bytes()[:min(body.Len(), maxKept)])))
		}
		return &responseError{resp: &own, err: fmt.Errorf("%w%s", err, quoted(&own))}
	}
	if last != nil && last.Response != nil && last.URL != nil {
		return nil, final{reject(fmt.Errorf("the Transport followed a redirect to %s; set its CheckRedirect to return http.ErrUseLastResponse", place(last.URL, secret)))}
	}
	if resp.StatusCode/100 == 3 {
		to := "nowhere"
		if u, err := resp.Location(); err == nil {
			to = place(u, secret)
		}
		return nil, final{reject(fmt.Errorf("refusing to follow a redirect (status %d) to %s", resp.StatusCode, to))}
	}
	body.Grow(int(min(max(resp.ContentLength, 0), 16<<10)) + bytes.MinRead) // once, for a usual response
	_, err = body.ReadFrom(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, reject(fmt.Errorf("the response (status %d) was cut short: %w", resp.StatusCode, errWithoutSecret(bare(err), secret)))
	case body.Len() > maxBody:
		return nil, final{reject(fmt.Errorf("the response (status %d) is larger than 1 MiB", resp.StatusCode))}
	}
	resp.Body = &readBody{*bytes.NewReader(body.Bytes()), body.Bytes()}
	resp.Header = headerWithoutSecret(resp.Header, secret)
	return resp, nil
}

// readBody is the body of a response that has been read completely.
type readBody struct {
	bytes.Reader
	all []byte
}

// Close implements [io.Closer].
func (*readBody) Close() error { return nil }

// watched returns a context for a request, and whether net/http is still connecting for it. With another
// Transport, that is unknown and false.
func watched(ctx context.Context) (context.Context, *atomic.Bool) {
	connecting := new(atomic.Bool)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:           func(string) { connecting.Store(true) },
		TLSHandshakeStart: func() { connecting.Store(false) },
		GotConn:           func(httptrace.GotConnInfo) { connecting.Store(false) },
	}), connecting
}

// noResponse is the error of a request without a response.
type noResponse struct {
	from       *url.URL
	err        error
	connecting bool // there was no connection
}

func (e *noResponse) Error() string { return e.err.Error() }
func (e *noResponse) Unwrap() error { return e.err }

// responseError is the error of a response that was rejected or not read completely.
type responseError struct {
	resp *http.Response // with the part of its body that may be quoted
	err  error
}

// responseOf returns the response that err is about, or nil.
func responseOf(err error) *http.Response {
	if partial, ok := causeOf[*responseError](err); ok {
		return partial.resp
	}
	return nil
}

func (e *responseError) Error() string { return e.err.Error() }
func (e *responseError) Unwrap() error { return e.err }

// final marks an error after which retry makes no further attempt.
type final struct{ error }

func (f final) Unwrap() error { return f.error }
func (final) NonRetriable()   {}

// place formats a URL for an error, without user information, query, and the secret, in at most 200 bytes.
func place(u *url.URL, secret string) string {
	return fmt.Sprintf("%.200q", withoutSecret(u.Scheme+"://"+u.Host+u.EscapedPath(), secret))
}
