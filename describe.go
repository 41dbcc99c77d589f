// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/azhost/azhost/internal/advice"
	"github.com/azhost/azhost/internal/tokenjson"
)

// This file words failures. The same failure has the same text, because controllers write it to a
// status and reconcile when that changes. So request IDs, ports, durations and times go to the log.

// maxText bounds what an error quotes of a body, in bytes.
const maxText = 1024

// answered describes a response: its status, and its error as one line of at most 1 KiB.
func answered(resp *http.Response) string {
	text := fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	body := bodyWithoutSecret(resp)
	if e, ok := tokenjson.ParseError(body); ok {
		for _, part := range []string{e.Code, e.Description} {
			if part != "" {
				text += ": " + part
			}
		}
		return unstopped(text)
	}
	if line := tokenjson.Text(varying.ReplaceAll(body, []byte(`$1"…"`)), maxText); line != "" && utf8.Valid(body) && (!mayHaveToken(resp) || strings.HasPrefix(line, "<") && !tokenMember.MatchString(line)) {
		text += ": " + line
	}
	return unstopped(text)
}

// tokenMember is how a token looks in JSON that may be broken.
var tokenMember = regexp.MustCompile(`(?i)"access_token"\s*:`)

// mayHaveToken reports whether a response may have a token, which no error has.
func mayHaveToken(resp *http.Response) bool {
	return resp.StatusCode/100 == 2 || tokenMember.Match(payload(resp))
}

// unstopped removes the full stop at the end of a text from elsewhere, because advice may follow.
func unstopped(text string) string { return strings.TrimRight(text, ". ") }

// varying is a member of JSON, in no shape that a host's error has, which is different each time.
var varying = regexp.MustCompile(`(?i)("(?:(?:trace|correlation|request|activity)[-_]?id|time|timestamp|date)"\s*:\s*)(?:"[^"]*"|[\d.]+)`)

// requestIDs returns log attributes for the IDs that Azure's support asks for.
func requestIDs(resp *http.Response) []any {
	var attrs []any
	add := func(name, id string) {
		if id != "" {
			attrs = append(attrs, name, fmt.Sprintf("%.64s", withoutSecret(id, secretOf(resp.Request))))
		}
	}
	add("x-ms-client-request-id", resp.Request.Header.Get("x-ms-client-request-id"))
	add("x-ms-request-id", resp.Header.Get("x-ms-request-id"))
	e, _ := tokenjson.ParseError(payload(resp))
	add("correlationId", e.CorrelationID)
	return attrs
}

// sourcePort is this machine's side of a connection, which differs each time.
var sourcePort = regexp.MustCompile(`(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+(?:%[^]]+)?\]):\d+->`)

// describe words the error of an attempt without an answer.
func describe(err error) string {
	text := bare(err).Error()
	if errors.Is(err, context.DeadlineExceeded) && problemOf(err) == advice.Unanswered {
		text = "the request was accepted but not answered in time (" + context.DeadlineExceeded.Error() + ")"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		text = strings.ReplaceAll(text, invalid.Detail, "check the clocks")
	}
	return unstopped(sourcePort.ReplaceAllString(text, "")) // on Windows, the system's texts end with a full stop
}

// problemOf says what kind of failure an error without an answer is.
func problemOf(err error) advice.Problem {
	none, asked := errors.AsType[*noAnswer](err)
	dial, ok := errors.AsType[*net.OpError](err)
	partial, cut := errors.AsType[*answerError](err)
	switch {
	case err == nil:
		return advice.Refusal
	case cut && partial != nil:
		return advice.Foreign
	case !asked || exhausted(none):
		return advice.Local
	case ok && dial.Op == "dial" && dial.Timeout():
		return advice.Silent
	case ok && dial.Op == "dial":
		return advice.NotListening
	case errors.Is(err, context.DeadlineExceeded):
		return advice.Unanswered
	}
	return advice.Broken
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

// bare strips the URL, whose query has no place in an error, from what net/http reports.
func bare(err error) error {
	if n, ok := errors.AsType[*noAnswer](err); ok {
		err = n.err
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
