// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/azhost/azhost/internal/advice"
	"github.com/azhost/azhost/internal/tokenjson"
)

// This file formats failures. The same failure has the same text, because controllers write it to a status
// and reconcile when the status changes. So request IDs, ports, durations, and times go to the log instead.

// describeResponse describes a response: its status, and its error as one line of at most 1 KiB.
func describeResponse(resp *http.Response) string {
	return trimPeriod(strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))) + quoted(resp))
}

// quoted returns the error or text in a body, to append to a sentence. It returns "" if the body is empty or
// may contain a token.
func quoted(resp *http.Response) string { return messageOf(resp).steady }

// trimPeriod removes the period at the end of a quoted text, because advice may follow.
func trimPeriod(text string) string { return strings.TrimRight(text, ". ") }

// idHeaders are the headers that have a response's IDs.
var idHeaders = []string{"x-ms-request-id", "x-ms-correlation-request-id", "x-request-id"}

// responseIDs returns log attributes for the IDs that Azure's support asks for, and for the parts of the text
// that differ each time and are therefore not in the error.
func responseIDs(resp *http.Response) []any {
	var attrs []any
	add := func(name, value string, limit int) {
		if value != "" {
			attrs = append(attrs, name, tokenjson.Cut(withoutSecret(value, secretOf(resp.Request)), limit))
		}
	}
	add("x-ms-client-request-id", resp.Request.Header.Get("x-ms-client-request-id"), 64)
	for _, name := range idHeaders {
		add(name, resp.Header.Get(name), 64)
	}
	for _, id := range tokenjson.IDs(payload(resp)) {
		add(id.Name, id.Value, 64)
	}
	m := messageOf(resp)
	add("entra", m.trailer, 256)
	if m.whole != m.steady {
		add("text", strings.TrimPrefix(m.whole, ": "), 2*maxText)
	}
	return attrs
}

// logAttempt logs an attempt, including what differs each time and is therefore not in the error, such as
// request IDs. The pause is 0 if no attempt follows.
func logAttempt(j *journal, n int, resp *http.Response, err error, pause time.Duration) {
	if j.log == nil {
		return
	}
	attrs := []any{"attempt", n}
	if err != nil {
		attrs, resp = append(attrs, "error", textOf(err)), responseOf(err)
	}
	if resp != nil {
		attrs = append(append(attrs, "status", resp.StatusCode), responseIDs(resp)...)
	}
	if pause > 0 {
		attrs = append(attrs, "pause", pause.Round(time.Millisecond).String())
	}
	j.write(slog.LevelDebug, "azhost: attempt", attrs...)
}

// describe formats the error of an attempt without a response.
func describe(err error) string {
	text := textOf(err)
	_, network := causeOf[*net.OpError](err) // its text has the address
	switch problem := problemOf(err); {
	case !errors.Is(err, context.DeadlineExceeded):
	case problem == advice.NoResponse:
		text = "the request was accepted, but there was no response in time (" + context.DeadlineExceeded.Error() + ")"
	case problem == advice.Silent && !network:
		text = "there was no connection in time (" + context.DeadlineExceeded.Error() + ")"
	}
	if invalid, ok := causeOf[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		text = strings.ReplaceAll(text, invalid.Detail, "check the clocks")
	}
	return trimPeriod(sourcePort.ReplaceAllString(text, "")) // on Windows, the system's texts end with a period
}

// textOf returns an error's text without the URL. If there was no response, it is one line of at most 1 KiB,
// because net/http quotes a malformed response in full.
func textOf(err error) string {
	text := bare(err).Error()
	if _, ok := causeOf[*noResponse](err); ok {
		text, _ = tokenjson.Text(text, maxText)
	}
	return text
}

// causeOf finds an E in the error of an attempt. It ignores another credential's error, which a policy or
// Transport may return, because that error is about another host.
func causeOf[E error](err error) (cause E, ok bool) {
	_, failed := errors.AsType[*AuthenticationFailedError](err)
	_, unavailable := errors.AsType[*CredentialUnavailableError](err)
	if failed || unavailable {
		return cause, false
	}
	return errors.AsType[E](err)
}

// problemOf returns the kind of failure that an attempt's error reports.
func problemOf(err error) advice.Problem {
	none, asked := causeOf[*noResponse](err)
	dial, ok := causeOf[*net.OpError](err)
	partial, cut := causeOf[*responseError](err)
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
	case errors.Is(err, context.DeadlineExceeded) && none.connecting:
		return advice.Silent
	case errors.Is(err, context.DeadlineExceeded):
		return advice.NoResponse
	}
	return advice.Broken
}

// exhausted reports whether err means that this process or machine ran out of files, ports, or memory. Such
// an error says nothing about the host.
func exhausted(err error) bool {
	return slices.ContainsFunc(shortages, func(e syscall.Errno) bool { return errors.Is(err, e) })
}

// shortages are the errors for a lack of files, ports, or memory. The numbers are those of Windows, which no
// other system uses: WSAEMFILE, WSAEADDRINUSE (no local port is left), and WSAENOBUFS. WSAEADDRNOTAVAIL isn't
// among them, because it reports an address that can't be dialed, such as port 0.
var shortages = []syscall.Errno{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL,
	10024, 10048, 10055,
}

// bare removes the URL from net/http's errors, because its query doesn't belong in an error.
func bare(err error) error {
	if n, ok := causeOf[*noResponse](err); ok {
		err = n.err
	}
	if u, ok := causeOf[*url.Error](err); ok {
		return u.Err
	}
	return err
}
