// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/azhost/azhost/internal/tokenjson"
)

const (
	// maxText and maxCode are the most that an error quotes of a text and of a host's code, in bytes.
	maxText = 1024
	maxCode = 128
	// maxRead is the most that is searched for what differs each time.
	maxRead = 8 * maxText
)

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

// word matches what may be a part of a message's format, such as "Timestamp" or a colon.
var word = regexp.MustCompile(`^(?:[\w-]{1,15}|.)$`)

// isWord reports whether a secret may be a part of a message's format. If so, it is removed only after the
// message was parsed. A real secret is longer, or looks like an ID; it is removed first, so that no part of it
// remains next to an ID.
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

// decoded returns a body's text. In UTF-16, ASCII characters have an additional zero byte, which
// [tokenjson.Line] drops, so only the byte order mark is removed here.
func decoded(body []byte) string {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		body = bytes.TrimPrefix(body, []byte(mark))
	}
	return string(body)
}

// Parts of the patterns in varying.
const (
	anID  = `[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`
	clock = `\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AP]M)?(?:Z| ?(?:GMT|UTC)| ?[+-]\d\d:?\d\d)?`
	// perRequest are the words before an ID that differs each time. IDs of an identity, a resource, or a tenant
	// aren't among them.
	perRequest = `\b(?:activity|correlation|error|event|incident|message|operation|ray|reference|request|session|support|trace|tracking|transaction)`
)

// variation is what differs each time in a quoted text.
type variation struct {
	pattern *regexp.Regexp
	with    string
	foreign bool // only in a text that isn't a host's error: a host's may name an identity or an API version
}

// varying lists the variations, compiled for the first error, because that takes a millisecond or two.
var varying = sync.OnceValue(func() []variation {
	return []variation{
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
})

// steady removes the parts of a text that differ each time. foreign says that the text isn't a host's error.
func steady(text string, foreign bool) string {
	for _, v := range varying() {
		if foreign || !v.foreign {
			text = v.pattern.ReplaceAllString(text, v.with)
		}
	}
	return text
}

// sourcePort matches this machine's side of a connection, which differs each time.
var sourcePort = regexp.MustCompile(`(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+(?:%[^]]+)?\]):\d+->`)
