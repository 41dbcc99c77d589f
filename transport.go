// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

const (
	module  = "github.com/azhost/azhost"
	version = "v0.1.0"

	// maxBody bounds an answer; a token with its fields is a few kilobytes.
	maxBody = 1 << 20

	defaultConnectTimeout = 2 * time.Second

	// tlsTimeout is that of net/http's default transport.
	tlsTimeout = 10 * time.Second
)

// newClient returns azcore's pipeline for a host endpoint: the options' policies, retries,
// logging and tracing, over the options' transport or our own. perTry, which may be nil, runs at
// every attempt.
func newClient(o *ManagedIdentityCredentialOptions, gate *gate, perTry policy.Policy) (*azcore.Client, error) {
	timeout := cmp.Or(o.Retry.TryTimeout, tryTimeout)
	o.Retry.TryTimeout = 0 // azcore's would run out in the queue
	co := o.ClientOptions
	co.APIVersion = "" // the host dictates it
	co.Logging.IncludeBody = false
	co.Logging.AllowedHeaders = slices.DeleteFunc(slices.Clone(co.Logging.AllowedHeaders), isSecret)
	next := co.Transport
	switch client, _ := next.(*http.Client); {
	case next == nil:
		next = newHTTPClient(o.ConnectTimeout)
	case client != nil:
		own := *client
		own.CheckRedirect = noRedirect
		next = &own
	}
	co.Transport = &transport{next: next, maxDelay: co.Retry.MaxRetryDelay}
	pl := runtime.PipelineOptions{
		Tracing:                runtime.TracingOptions{Namespace: "Microsoft.Entra"},
		AllowedQueryParameters: []string{"resource", "client_id", "clientid", "object_id", "msi_res_id", "mi_res_id"},
	}
	pl.PerRetry = []policy.Policy{turn{gate.slots, timeout}}
	if perTry != nil {
		pl.PerRetry = append(pl.PerRetry, perTry)
	}
	return azcore.NewClient(module, version, pl, &co)
}

// withDefaults returns r with what is zero replaced by d's values.
func withDefaults(r, d policy.RetryOptions) policy.RetryOptions {
	r.MaxRetries = cmp.Or(r.MaxRetries, d.MaxRetries)
	r.RetryDelay = cmp.Or(r.RetryDelay, d.RetryDelay)
	r.MaxRetryDelay = cmp.Or(r.MaxRetryDelay, d.MaxRetryDelay)
	if r.StatusCodes == nil {
		r.StatusCodes = d.StatusCodes
	}
	return r
}

// secret reports whether a header proves a request to come from this machine.
func isSecret(header string) bool {
	return slices.ContainsFunc(secretHeaders, func(s string) bool { return strings.EqualFold(s, header) })
}

// noRedirect lets an answer that redirects be returned as it is, and refused.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// newHTTPClient returns the client for host endpoints. All of them are on this machine or one
// link away, and the requests carry proofs, so nothing may carry them elsewhere.
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
			MaxIdleConnsPerHost:    maxRequests,     // as many as can be in use
			IdleConnTimeout:        5 * time.Second, // enough for an Arc exchange and for a burst at start
		},
	}
}

// turn is the pipeline policy that lets one process make a few attempts at a time. An attempt's own
// timeout begins when its turn has come, and an exchange of several requests is one attempt: neither
// its time nor its proof runs out in the queue.
type turn struct {
	slots   chan struct{}
	timeout time.Duration
}

// Do implements [policy.Policy].
func (t turn) Do(req *policy.Request) (*http.Response, error) {
	ctx := req.Raw().Context()
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel() // the transport has read the body
	return req.WithContext(ctx).Next()
}

// transport is the last step of the pipeline: it refuses redirects whatever the transport under it
// did with them, and reads a bounded body.
type transport struct {
	next     policy.Transporter
	maxDelay time.Duration // of the retry policy
}

// Do implements [policy.Transporter].
func (t *transport) Do(req *http.Request) (*http.Response, error) {
	resp, err := t.next.Do(req)
	if err != nil {
		return nil, &noAnswer{req.URL, err}
	}
	if resp == nil {
		return nil, nil // for which azcore has an error
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
	spreadRetryAfter(resp, t.maxDelay)
	resp.Header = headerWithoutSecret(resp.Header, secret)
	return resp, nil
}

// noAnswer is a request that got none.
type noAnswer struct {
	from *url.URL
	err  error
}

func (e *noAnswer) Error() string { return e.err.Error() }
func (e *noAnswer) Unwrap() error { return e.err }

// What is written, in errors and logs, must not repeat the secret of a request, which whoever answers
// might send back. What is parsed stays as it is.

// removed stands where an answer repeats a secret of its request.
const removed = "[removed]"

// secretOf returns the secret by which a request proves where it comes from, "" if it has none.
func secretOf(req *http.Request) string {
	for _, name := range secretHeaders {
		if v := req.Header.Get(name); v != "" {
			return strings.TrimPrefix(v, "Basic ")
		}
	}
	return ""
}

func withoutSecret(text, secret string) string {
	if secret == "" {
		return text
	}
	return strings.ReplaceAll(text, secret, removed)
}

// headerWithoutSecret is for the pipeline's logging and tracing, which write headers. Retry-After is
// for its retries, which read it.
func headerWithoutSecret(header http.Header, secret string) http.Header {
	if secret == "" {
		return header
	}
	own := header.Clone()
	for name, values := range own {
		for i, v := range values {
			if !strings.Contains(name, "Retry-After") {
				values[i] = withoutSecret(v, secret)
			}
		}
	}
	return own
}

// bodyWithoutSecret is for errors. JSON can spell a proof in many ways, so a body with a string that
// means it is left out whole.
func bodyWithoutSecret(resp *http.Response) []byte {
	body, secret := payload(resp), secretOf(resp.Request)
	if secret == "" {
		return body
	}
	body = bytes.ReplaceAll(body, []byte(secret), []byte(removed))
	var v any
	if json.Unmarshal(body, &v) == nil && strings.Contains(fmt.Sprint(v), secret) {
		return []byte(removed)
	}
	return body
}

// answerError is an answer that could not be taken whole.
type answerError struct {
	server string // its Server header
	status int
	err    error
}

func (e *answerError) Error() string { return e.err.Error() }
func (e *answerError) Unwrap() error { return e.err }

// final marks an error for azcore's retry policy: trying again cannot help.
type final struct{ error }

func (f final) Unwrap() error { return f.error }
func (final) NonRetriable()   {}

// place is a URL for an error: no user, no query, bounded.
func place(u *url.URL) string {
	return fmt.Sprintf("%.200q", u.Scheme+"://"+u.Host+u.EscapedPath())
}

// spreadRetryAfter adds up to half a delay and a second to a Retry-After, which azcore would sleep to
// the millisecond: clients that were throttled together would come back together. The sum stays
// below maxDelay, above which azcore gives up.
func spreadRetryAfter(resp *http.Response, maxDelay time.Duration) {
	const inMilliseconds = "Retry-After-Ms" // what azcore prefers
	value := resp.Header.Get("Retry-After")
	if value == "" || resp.Header.Get(inMilliseconds) != "" {
		return
	}
	var d time.Duration
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 && seconds <= 1<<20 {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = time.Until(at)
	}
	if maxDelay < 0 { // azcore's way of saying that there is no limit
		maxDelay = math.MaxInt64
	}
	if d <= 0 || d >= maxDelay {
		return
	}
	d += rand.N(min(d/2+time.Second, maxDelay-d))
	resp.Header.Set(inMilliseconds, strconv.FormatInt(d.Milliseconds(), 10))
}

// payload returns the body of a response that has passed the pipeline.
func payload(resp *http.Response) []byte {
	body, _ := runtime.Payload(resp) // in memory, so it cannot fail
	return body
}
