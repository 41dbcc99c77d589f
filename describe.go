// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/azhost/azhost/internal/advice"
	"github.com/azhost/azhost/internal/tokenjson"
)

// This file formats failures. The same failure has the same text, because controllers write it to a status
// and reconcile when the status changes. So request IDs, ports, durations, and times go to the log instead.

const (
	// maxText and maxCode are the most that an error quotes of a text and of a host's code, in bytes.
	maxText = 1024
	maxCode = 128
	// maxRead is the most that is searched for what differs each time.
	maxRead = 8 * maxText
)

// answered describes a response: its status, and its error as one line of at most 1 KiB.
func answered(resp *http.Response) string {
	return unstopped(strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))) + quoted(resp))
}

// quoted returns the error or text in a body, to append to a sentence. It returns "" if the body is empty or
// may contain a token.
func quoted(resp *http.Response) string { return messageOf(resp).steady }

// message is what the body of a response says, without secrets and tokens.
type message struct {
	steady  string // the same for the same failure, to append to a sentence
	whole   string // with what differs each time, for the log
	trailer string // of Microsoft Entra ID
}

// messageOf reads the body of a response. It removes secrets and tokens before it shortens a text, so that no
// part of one remains at the cut.
func messageOf(resp *http.Response) (m message) {
	body, secret := payload(resp), secretOf(resp.Request)
	add := func(line string, limit int, foreign bool) {
		if !isWord(secret) {
			line = withoutSecret(line, secret)
		}
		text, trailer := tokenjson.Text(bounded(line, secret), maxRead)
		if text = tokenText.ReplaceAllString(text, removed); text != "" {
			m.whole += ": " + tokenjson.Cut(withoutSecret(text, secret), limit)
			m.steady += ": " + tokenjson.Cut(withoutSecret(steady(text, foreign), secret), limit)
		}
		m.trailer += withoutSecret(trailer, secret)
	}
	if e, ok := tokenjson.ParseError(body); ok {
		add(e.Code, maxCode, false)
		add(e.Description, maxText, false)
		return m
	}
	line := tokenjson.Line(decoded(body))
	unreadable := strings.Count(line, "\ufffd")*4 > utf8.RuneCountInString(line)
	if unreadable || mayHaveToken(resp) && (!strings.HasPrefix(line, "<") || tokenText.MatchString(line)) {
		return message{}
	}
	add(line, maxText, true)
	return m
}

// word matches what may be a part of a text's form, such as "Timestamp" or a colon.
var word = regexp.MustCompile(`^(?:[\w-]{1,15}|.)$`)

// isWord reports whether a secret may be a word of a text, so that the text must be read first. A real secret
// is longer, or looks like an ID; it is removed first, so that no part of it remains next to an ID.
func isWord(secret string) bool { return word.MatchString(secret) && steady(secret, true) == secret }

// bounded returns at most maxRead bytes of a line, without a part of the secret at the end.
func bounded(line, secret string) string {
	end := min(len(line), maxRead)
	for secret != "" && end < len(line) {
		last := strings.LastIndex(line[:min(len(line), end+len(secret)-1)], secret)
		if last < 0 || last+len(secret) <= end {
			break
		}
		end = last
	}
	return line[:end]
}

// decoded returns a body's text. Of UTF-16, it needs only the mark removed, if the text is ASCII: the other
// bytes are invisible.
func decoded(body []byte) string {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		body = bytes.TrimPrefix(body, []byte(mark))
	}
	return string(body)
}

// unstopped removes the period at the end of a quoted text, because advice may follow.
func unstopped(text string) string { return strings.TrimRight(text, ". ") }

// Parts of the patterns in varying.
const (
	anID  = `[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`
	clock = `\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AP]M)?(?:Z| ?(?:GMT|UTC)| ?[+-]\d\d:?\d\d)?`
	// perRequest are the words before an ID that differs each time. IDs of an identity, a resource, or a tenant
	// aren't among them.
	perRequest = `\b(?:activity|correlation|error|event|incident|message|operation|ray|reference|request|session|support|trace|tracking|transaction)`
)

// varying lists what differs each time in a quoted text.
var varying = []struct {
	pattern *regexp.Regexp
	with    string
	foreign bool // only in a text that isn't a host's error: a host's may name an identity or an API version
}{
	// Members of JSON.
	{regexp.MustCompile(`(?i)("(?:[\w-]*(?:trace|correlation|request|activity)[-_]?id|time|timestamp|date)"\s*:\s*)(?:"[^"]*"|[\d.]+)`), `$1"…"`, true},
	// 2000-01-22T19:20:08Z, 2000/01/22 19:20:08
	{regexp.MustCompile(`\b\d{4}[-/]\d\d[-/]\d\d[T ]` + clock), "…", false},
	// Sat, 22 Jan 2000 19:20:08 GMT; 22-Jan-00 19:20:08 UTC; 22/Jan/2000:19:20:08 +0000
	{regexp.MustCompile(`(?:\b[A-Z][a-z]{2,8}, )?\b\d{1,2}[ /-][A-Z][a-z]{2}[ /-]\d{2,4}[ :]` + clock), "…", false},
	// Sat Jan 22 19:20:08 2000, Sat Jan 22 19:20:08 UTC 2000
	{regexp.MustCompile(`\b[A-Z][a-z]{2} [A-Z][a-z]{2} \d{1,2} \d\d:\d\d:\d\d (?:[A-Z]{3,4} )?\d{4}\b`), "…", false},
	// 1/22/2000 7:20:08 PM
	{regexp.MustCompile(`\b\d{1,2}/\d{1,2}/\d{4},? ` + clock), "…", false},
	// 20000122T192008Z
	{regexp.MustCompile(`\b\d{8}T\d{6}Z?`), "…", false},
	// 19:20:08.123
	{regexp.MustCompile(`\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?(?: ?[AP]M)?Z?`), "…", false},
	// Request 01234567-89ab-cdef-0123-456789abcdef, correlation id 01234567-89ab-cdef-0123-456789abcdef
	{regexp.MustCompile(`(?i)(` + perRequest + `(?:[ _-]?id)?(?: is)?\W{1,3})` + anID), "$1…", false},
	// Support ID is: 0123456789, Ray ID: <strong>0123456789abcdef</strong>
	{regexp.MustCompile(`(?i)(` + perRequest + `[ _-]?id(?: is)?(?:[:= ]|<[^>]*>)+)[0-9a-f]*\d[\w-]{4,}`), "$1…", false},
	// Retry after 7 seconds
	{regexp.MustCompile(`(?i)(\b(?:retry|try again|wait)\b[^.\d]{0,24})\d+(?:\.\d+)?( ?(?:ms|millisecond|s|sec|second|min|minute)s?\b)`), "$1…$2", false},
	// This machine's side of a connection.
	{sourcePort, "", false},

	// 2000-01-22, 2000/01/22, 1/22/2000
	{regexp.MustCompile(`\b(?:\d{4}[-/]\d\d[-/]\d\d|\d{1,2}/\d{1,2}/\d{4})\b`), "…", true},
	{regexp.MustCompile(anID), "…", true},
	// 1.002ms, 1m2.5s, 20 seconds
	{regexp.MustCompile(`\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?(?:ms|s|µs|us|ns)\b|\b\d+(?:\.\d+)? (?:ms|milliseconds?|s|sec|seconds?|min|minutes?)\b`), "…", true},
	// Other IDs: of hexadecimal digits, or of capitals and digits.
	{regexp.MustCompile(`[0-9A-Fa-f]{16,}|\b[0-9A-Z]{16,}\b`), "…", true},
	// The port that the system chose for a connection.
	{regexp.MustCompile(`(\b\d{1,3}(?:\.\d{1,3}){3}|\]):\d{5}\b`), "$1:…", true},
	// Numbers that count, and seconds since 1970. The code in AADSTS700016 follows a letter.
	{regexp.MustCompile(`\b\d{6,}\b`), "…", true},
}

// steady removes the parts of a text that differ each time. foreign says that the text isn't a host's error.
func steady(text string, foreign bool) string {
	for _, v := range varying {
		if foreign || !v.foreign {
			text = v.pattern.ReplaceAllString(text, v.with)
		}
	}
	return text
}

// idHeaders are the headers that have a response's IDs.
var idHeaders = []string{"x-ms-request-id", "x-ms-correlation-request-id", "x-request-id"}

// responseIDs returns log attributes for the IDs that Azure's support asks for, and for the text from which an
// error lacks some.
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
		attrs, resp = append(attrs, "error", textOf(err)), rejected(err)
	}
	if resp != nil {
		attrs = append(append(attrs, "status", resp.StatusCode), responseIDs(resp)...)
	}
	if pause > 0 {
		attrs = append(attrs, "pause", pause.Round(time.Millisecond).String())
	}
	j.write(slog.LevelDebug, "azhost: attempt", attrs...)
}

// sourcePort matches this machine's side of a connection, which differs each time.
var sourcePort = regexp.MustCompile(`(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+(?:%[^]]+)?\]):\d+->`)

// describe formats the error of an attempt without a response.
func describe(err error) string {
	text := textOf(err)
	_, network := causeOf[*net.OpError](err) // its text has the address
	switch problem := problemOf(err); {
	case !errors.Is(err, context.DeadlineExceeded):
	case problem == advice.Unanswered:
		text = "the request was accepted, but there was no response in time (" + context.DeadlineExceeded.Error() + ")"
	case problem == advice.Silent && !network:
		text = "there was no connection in time (" + context.DeadlineExceeded.Error() + ")"
	}
	if invalid, ok := causeOf[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		text = strings.ReplaceAll(text, invalid.Detail, "check the clocks")
	}
	return unstopped(sourcePort.ReplaceAllString(text, "")) // on Windows, the system's texts end with a period
}

// textOf returns an error's text without the URL. If there was no response, it is one line of at most 1 KiB,
// because net/http quotes a malformed response in full.
func textOf(err error) string {
	text := bare(err).Error()
	if _, ok := causeOf[*noAnswer](err); ok {
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
	none, asked := causeOf[*noAnswer](err)
	dial, ok := causeOf[*net.OpError](err)
	partial, cut := causeOf[*answerError](err)
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
		return advice.Unanswered
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
	if n, ok := causeOf[*noAnswer](err); ok {
		err = n.err
	}
	if u, ok := causeOf[*url.Error](err); ok {
		return u.Err
	}
	return err
}
