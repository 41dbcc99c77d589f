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

	answer
	message string
	err     error
}

// Error says what was tried, where, what came back and what to do about it.
func (e *AuthenticationFailedError) Error() string { return e.message }

// Unwrap returns the cause, such as a context's error or [io/fs.ErrPermission], or nil.
func (e *AuthenticationFailedError) Unwrap() error { return e.err }

// NonRetriable marks the error for azcore's retry policy: azhost has already retried what can be
// retried.
func (e *AuthenticationFailedError) NonRetriable() {}

// CredentialUnavailableError reports that this machine has no managed identity to offer: nothing
// responds where an Azure host would, something else does, the host has no identity, or the variables
// that a platform sets are invalid. Credential chains continue with the next credential; see
// [ManagedIdentityCredentialOptions.UnavailableError].
//
// Match it with errors.As. Its text is for people and may change; the same failure has the same text.
type CredentialUnavailableError struct {
	// RawResponse is the last response, or nil if there was none; see
	// [AuthenticationFailedError.RawResponse].
	RawResponse *http.Response

	answer
	message string
	errs    []error
}

// Error says what was tried, where, what came back and what to do about it.
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

// answer is what an error keeps of a response. Failures are remembered, and there may be many, so the
// body is bounded.
type answer struct {
	body       []byte        // nil if it may have a token
	retryAfter time.Duration // how long the host asks to be left alone
}

// maxKept bounds the body of a RawResponse, in bytes; a host's errors have a few hundred.
const maxKept = 16 << 10

// keep returns a response for an error, and what its copies need.
func keep(resp *http.Response) (*http.Response, answer) {
	if resp == nil {
		return nil, answer{}
	}
	var a answer
	if !mayHaveToken(resp) {
		body := bodyWithoutSecret(resp)
		a.body = bytes.Clone(body[:min(len(body), maxKept)])
	}
	a.retryAfter = min(pauseAsked(resp), maxRetryAfter)
	return stripped(resp), a
}

// copyOf returns a caller's own copy of a kept response.
func (a answer) copyOf(resp *http.Response) *http.Response {
	if resp == nil {
		return nil
	}
	own := *resp
	own.Header, own.Request = resp.Header.Clone(), resp.Request.Clone(context.Background())
	own.Body = io.NopCloser(bytes.NewReader(a.body))
	return &own
}

// failed returns an AuthenticationFailedError about resp, which may be nil.
func failed(resp *http.Response, cause error, format string, args ...any) *AuthenticationFailedError {
	e := &AuthenticationFailedError{message: "azhost: " + fmt.Sprintf(format, args...), err: cause}
	e.RawResponse, e.answer = keep(resp)
	return e
}

// unavailable returns a CredentialUnavailableError about resp, which may be nil.
func unavailable(resp *http.Response, cause error, format string, args ...any) *CredentialUnavailableError {
	e := &CredentialUnavailableError{message: "azhost: " + fmt.Sprintf(format, args...)}
	e.RawResponse, e.answer = keep(resp)
	if cause != nil {
		e.errs = []error{cause}
	}
	return e
}

func isUnavailable(err error) bool {
	_, ok := err.(*CredentialUnavailableError)
	return ok
}

// retryAfterOf returns how long the host asked to be left alone when it caused err.
func retryAfterOf(err error) time.Duration {
	switch e := err.(type) {
	case *AuthenticationFailedError:
		return e.retryAfter
	case *CredentialUnavailableError:
		return e.retryAfter
	}
	return 0
}

// gaveUp is the error of a wait that ctx ended; last is the failure of the attempt before, nil if
// there was none.
func gaveUp(ctx context.Context, resource string, last error) error {
	text := ctx.Err().Error()
	if cause := context.Cause(ctx); cause != ctx.Err() {
		text += " (" + cause.Error() + ")"
	}
	e := failed(nil, ctx.Err(), "gave up waiting for a token for %q: %s", resource, text)
	var causes []error // of last, not last itself: errors.As must find one type
	switch last := last.(type) {
	case *AuthenticationFailedError:
		e.RawResponse, e.answer, causes = last.RawResponse, last.answer, []error{last.err}
	case *CredentialUnavailableError:
		e.RawResponse, e.answer, causes = last.RawResponse, last.answer, last.errs
	}
	if last != nil {
		e.message += "; last attempt: " + strings.TrimPrefix(last.Error(), "azhost: ")
		e.err = errors.Join(slices.Concat(causes, []error{ctx.Err()})...)
	}
	return e
}

// delivered returns the copy of a flight's error that one of its callers gets: callers share the
// flight, not a response body that only one of them could read, nor each other's chain.
func delivered(err error, unavailableError func(string) error) error {
	switch e := err.(type) { // not errors.As: what they wrap may be another credential's
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
