// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/azhost/azhost/internal/tokenjson"
)

// AuthenticationFailedError says that the host was asked for a token and that none came of it:
// the host refused, its answer was unusable, it stayed unwell until the retries were used up, or
// time ran out first. errors.Is finds [context.Canceled] when the caller's context was cancelled,
// and [context.DeadlineExceeded] when a deadline has passed: the caller's, or that of the request
// (three minutes) or of its last attempt (a minute).
//
// Match it with errors.As; its text is for people and may change. It never contains a token, a
// challenge key or a header.
type AuthenticationFailedError struct {
	// RawResponse is the host's last answer, nil where there was none. Its body can be read, and
	// is the caller's own; the headers that carry secrets are removed from RawResponse.Request.
	RawResponse *http.Response

	message string
	body    []byte // of RawResponse; nil after a success, whose body may hold a token
	err     error
}

// Error says what was tried, where, what came back and what to do about it.
func (e *AuthenticationFailedError) Error() string { return e.message }

// Unwrap returns the cause, such as a context's error or [io/fs.ErrPermission], or nil.
func (e *AuthenticationFailedError) Unwrap() error { return e.err }

// NonRetriable marks the error for azcore's retry policy: what can be retried already was.
func (e *AuthenticationFailedError) NonRetriable() {}

// CredentialUnavailableError says that this machine has no managed identity to offer: nothing
// answers where an Azure host would, something else does, or the host has no identity. A chain of
// credentials moves on for it; see [ManagedIdentityCredentialOptions.UnavailableError].
//
// Match it with errors.As; its text is for people and may change.
type CredentialUnavailableError struct {
	message string
	errs    []error
}

// Error says what was tried, where, what came back and what to do about it.
func (e *CredentialUnavailableError) Error() string { return e.message }

// Unwrap returns the cause, and the error made by
// [ManagedIdentityCredentialOptions.UnavailableError] where that is set.
func (e *CredentialUnavailableError) Unwrap() []error { return e.errs }

// NonRetriable marks the error for azcore's retry policy: what can be retried already was.
func (e *CredentialUnavailableError) NonRetriable() {}

var (
	_ error = (*AuthenticationFailedError)(nil)
	_ error = (*CredentialUnavailableError)(nil)
)

// maxKept bounds the body of a RawResponse, in bytes; a host's errors have a few hundred.
const maxKept = 16 << 10

// failed returns an AuthenticationFailedError about resp, which may be nil.
func failed(resp *http.Response, cause error, format string, args ...any) *AuthenticationFailedError {
	e := &AuthenticationFailedError{message: "azhost: " + fmt.Sprintf(format, args...), err: cause}
	if resp != nil {
		e.RawResponse = stripped(resp)
		if resp.StatusCode/100 != 2 {
			body := bodyWithoutSecret(resp)
			e.body = bytes.Clone(body[:min(len(body), maxKept)]) // failures are remembered, and there may be many
		}
	}
	return e
}

// unavailable returns a CredentialUnavailableError.
func unavailable(cause error, format string, args ...any) *CredentialUnavailableError {
	e := &CredentialUnavailableError{message: "azhost: " + fmt.Sprintf(format, args...)}
	if cause != nil {
		e.errs = []error{cause}
	}
	return e
}

// waitEnded is the error of a caller whose own context ended while a flight went on without it.
func waitEnded(ctx context.Context, resource string, waited time.Duration) error {
	text := ctx.Err().Error()
	if cause := context.Cause(ctx); cause != ctx.Err() {
		text += " (" + cause.Error() + ")"
	}
	return failed(nil, ctx.Err(), "the caller's context ended after %s of waiting for a token for %q: %s",
		waited.Round(time.Millisecond), resource, text)
}

// delivered returns the copy of a flight's error that one of its callers gets: callers share the
// flight, not a response body that only one of them could read, nor each other's chain.
func delivered(err error, unavailableError func(string) error) error {
	switch e := err.(type) { // not errors.As: what they wrap may be another credential's
	case *AuthenticationFailedError:
		own := *e
		if e.RawResponse != nil {
			resp := *e.RawResponse
			resp.Header, resp.Request = resp.Header.Clone(), resp.Request.Clone(context.Background())
			resp.Body = io.NopCloser(bytes.NewReader(e.body))
			own.RawResponse = &resp
		}
		return &own
	case *CredentialUnavailableError:
		if unavailableError == nil {
			break
		}
		if marked := unavailableError(e.message); marked != nil {
			return &CredentialUnavailableError{message: e.message, errs: append([]error{marked}, e.errs...)}
		}
	}
	return err
}

// secretHeaders carry what proves a request to come from this machine.
var secretHeaders = []string{"Authorization", "Secret", "X-Identity-Header"}

// stripped copies resp and its request without the headers that carry secrets.
func stripped(resp *http.Response) *http.Response {
	own := *resp
	own.Body = http.NoBody
	own.Request = resp.Request.Clone(context.Background())
	for _, name := range secretHeaders {
		own.Request.Header.Del(name)
	}
	return &own
}

// answered describes a host's answer in an error: status, the bounded and decoded error text,
// and the request ID that Azure's support asks for.
func answered(resp *http.Response) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if e, ok := tokenjson.ParseError(bodyWithoutSecret(resp)); ok {
		for _, part := range []string{e.Code, e.Description} {
			if part != "" {
				b.WriteString(": " + part)
			}
		}
	}
	if id := resp.Header.Get("x-ms-request-id"); id != "" {
		fmt.Fprintf(&b, " (x-ms-request-id %.64q)", id)
	}
	return b.String()
}

// exhausted reports whether an error is about what this process or machine has run out of, which
// says nothing about the host.
func exhausted(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// cause strips the URL, whose query has no place in an error, from what net/http reports.
func bare(err error) error {
	if n, ok := errors.AsType[*noAnswer](err); ok {
		err = n.err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
