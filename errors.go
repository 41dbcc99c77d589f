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
	"slices"
	"strings"
	"time"
)

// AuthenticationFailedError reports that a token request failed: the host rejected it, returned an
// invalid response, kept failing until retries were exhausted, or didn't respond in time. errors.Is
// finds [context.Canceled] when the caller's context was canceled, and [context.DeadlineExceeded] when
// a deadline has passed: the caller's, or that of the request (three minutes) or of its last attempt
// (a minute).
//
// Match it with errors.As. Its text is for people and may change; the same failure has the same text.
// It never contains a token, an Arc key, or a secret header.
type AuthenticationFailedError struct {
	// RawResponse is the host's last response, or nil if there was none. Each caller has its own copy,
	// whose body can be read (at most 16 KiB are kept; the body of a response with a token is empty).
	// Headers that carry secrets are removed from RawResponse.Request.
	RawResponse *http.Response

	keptResponse
	message string
	err     error
}

// Error says what was tried and where, what came back, and what to do.
func (e *AuthenticationFailedError) Error() string { return e.message }

// Unwrap returns the cause, such as a context's error or [io/fs.ErrPermission], or nil.
func (e *AuthenticationFailedError) Unwrap() error { return e.err }

// NonRetriable marks the error for azcore's retry policy: azhost has already retried what can be
// retried.
func (e *AuthenticationFailedError) NonRetriable() {}

// CredentialUnavailableError reports that this machine has no managed identity to offer: nothing responds
// where an Azure host would, something else responds, the host has no identity, or the host's environment
// variables are invalid. Credential chains continue with the next credential; see
// [ManagedIdentityCredentialOptions.UnavailableError].
//
// Match it with errors.As. Its text is for people and may change; the same failure has the same text.
type CredentialUnavailableError struct {
	// RawResponse is the last response, or nil if there was none; see
	// [AuthenticationFailedError.RawResponse].
	RawResponse *http.Response

	keptResponse
	message string
	errs    []error
}

// Error says what was tried and where, what came back, and what to do.
func (e *CredentialUnavailableError) Error() string { return e.message }

// Unwrap returns the cause and, if [ManagedIdentityCredentialOptions.UnavailableError] is set, the
// error that it made.
func (e *CredentialUnavailableError) Unwrap() []error { return e.errs }

// NonRetriable marks the error for azcore's retry policy: azhost has already retried what can be
// retried.
func (e *CredentialUnavailableError) NonRetriable() {}

var (
	_ error = (*AuthenticationFailedError)(nil)
	_ error = (*CredentialUnavailableError)(nil)
)

// keptResponse is the part of a response that an error keeps for its copies. Many failures may be cached at once,
// so the body is bounded.
type keptResponse struct {
	body       []byte        // nil if it may have a token
	retryAfter time.Duration // the pause that the host asked for
}

// maxKept is the largest body of a RawResponse, in bytes. A host's errors have a few hundred bytes.
const maxKept = 16 << 10

// keep returns the response for an error, without secrets, and the data for its copies.
func keep(resp *http.Response) (*http.Response, keptResponse) {
	if resp == nil {
		return nil, keptResponse{}
	}
	var k keptResponse
	if !mayHaveToken(resp) {
		body := bodyWithoutSecret(resp)
		k.body = bytes.Clone(body[:min(len(body), maxKept)])
	}
	k.retryAfter = min(pauseAsked(resp), maxRetryAfter)
	return stripped(resp), k
}

// copyOf returns a new copy of a response from keep.
func (k keptResponse) copyOf(resp *http.Response) *http.Response {
	if resp == nil {
		return nil
	}
	own := *resp
	own.Header, own.Request = resp.Header.Clone(), resp.Request.Clone(context.Background())
	own.Body = io.NopCloser(bytes.NewReader(k.body))
	return &own
}

// failed returns an AuthenticationFailedError about resp, which may be nil.
func failed(resp *http.Response, cause error, format string, args ...any) *AuthenticationFailedError {
	e := &AuthenticationFailedError{message: "azhost: " + fmt.Sprintf(format, args...), err: cause}
	e.RawResponse, e.keptResponse = keep(resp)
	return e
}

// unavailable returns a CredentialUnavailableError about resp, which may be nil.
func unavailable(resp *http.Response, cause error, format string, args ...any) *CredentialUnavailableError {
	e := &CredentialUnavailableError{message: "azhost: " + fmt.Sprintf(format, args...)}
	e.RawResponse, e.keptResponse = keep(resp)
	if cause != nil {
		e.errs = []error{cause}
	}
	return e
}

func isUnavailable(err error) bool {
	_, ok := err.(*CredentialUnavailableError)
	return ok
}

// retryAfterOf returns the pause that the host asked for in the response that err is about.
func retryAfterOf(err error) time.Duration {
	switch e := err.(type) {
	case *AuthenticationFailedError:
		return e.retryAfter
	case *CredentialUnavailableError:
		return e.retryAfter
	}
	return 0
}

// gaveUp returns the error of a wait that ended because ctx is done. from names the host. last is the error
// of the last attempt, or nil.
func gaveUp(ctx context.Context, resource, from string, last error) error {
	text := ctx.Err().Error()
	if cause := context.Cause(ctx); cause != ctx.Err() {
		text += " (" + cause.Error() + ")"
	}
	if last != nil {
		from = "" // last names the host
	}
	e := failed(nil, ctx.Err(), "gave up waiting for a token for %q%s: %s", resource, from, text)
	var causes []error // those of last, not last itself, so that errors.As finds only one of azhost's types
	switch last := last.(type) {
	case *AuthenticationFailedError:
		e.RawResponse, e.keptResponse, causes = last.RawResponse, last.keptResponse, []error{last.err}
	case *CredentialUnavailableError:
		e.RawResponse, e.keptResponse, causes = last.RawResponse, last.keptResponse, last.errs
	}
	if last != nil {
		e.message += "; last attempt: " + strings.TrimPrefix(last.Error(), "azhost: ")
		e.err = errors.Join(slices.Concat(causes, []error{ctx.Err()})...)
	}
	return e
}

// delivered returns one caller's copy of a flight's error. Callers must not share a response body, which only
// one of them could read, or the error from one caller's unavailableError.
func delivered(err error, unavailableError func(string) error) error {
	switch e := err.(type) { // not errors.As: a wrapped error may be another credential's
	case *AuthenticationFailedError:
		own := *e
		own.RawResponse = e.copyOf(e.RawResponse)
		return &own
	case *CredentialUnavailableError:
		own := *e
		own.RawResponse = e.copyOf(e.RawResponse)
		if unavailableError != nil {
			if marked := unavailableError(e.message); marked != nil {
				own.errs = append([]error{marked}, e.errs...)
			}
		}
		return &own
	}
	return err
}
