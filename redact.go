// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"html"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/azhost/azhost/internal/tokenjson"
)

// This file removes secrets from errors, logs, and spans, because a response may repeat its request's secret.
// azhost parses the original response, because the secret's text may also occur in a valid one, such as in a
// field's name.

// removed replaces a secret.
const removed = "[removed]"

// isSecret reports whether a request header carries a secret.
func isSecret(header string) bool {
	return slices.ContainsFunc(hosts[:], func(h host) bool { return h.secretHeader != "" && strings.EqualFold(h.secretHeader, header) })
}

// secretOf returns the request's secret, or "".
func secretOf(req *http.Request) string {
	for _, h := range &hosts {
		if v := req.Header.Get(h.secretHeader); v != "" {
			return strings.TrimPrefix(v, "Basic ")
		}
	}
	return ""
}

// withoutSecret removes the secret from text. If the text still contains it in an escaped form, the whole text
// is replaced.
func withoutSecret(text, secret string) string {
	if secret == "" {
		return text
	}
	text = strings.ReplaceAll(text, secret, removed)
	hidden := unescaped(secret)
	if hidden != "" && strings.Contains(unescaped(strings.ReplaceAll(text, removed, "…")), hidden) {
		return removed
	}
	return text
}

// maxNesting is how many times a text may be escaped: by the host, by a proxy, and by net/http.
const maxNesting = 3

// escape matches a character that a URL, JSON, or Go's quoting has escaped. A string in a string has several
// backslashes.
var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}|\\+(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[^ux\\])`)

// unescaped returns text as its reader could recover it: in one line, without invisible characters and the
// escapes of HTML, URLs, JSON, and Go.
func unescaped(text string) string {
	for range maxNesting {
		escaped := text
		if strings.ContainsAny(text, `%\`) {
			text = escape.ReplaceAllStringFunc(text, func(s string) string {
				name := strings.TrimLeft(s, `\`)
				code, err := strconv.ParseUint(name[1:], 16, 16)
				switch {
				case err != nil: // such as \"
					return name
				case name[0] == 'u':
					return string(rune(code))
				}
				return string([]byte{byte(code)})
			})
		}
		text = html.UnescapeString(strings.ReplaceAll(text, "+", " ")) // a form's space is a plus sign
		if text == escaped {
			break
		}
	}
	return tokenjson.Line(text)
}

// errWithoutSecret returns err or, if its text contains the secret, an error with the secret removed from the
// text. net/http's errors quote what it can't parse. An error from dialing quotes nothing, and stays as it is,
// because problemOf reads it.
func errWithoutSecret(err error, secret string) error {
	if dial, ok := causeOf[*net.OpError](err); ok && dial.Op == "dial" {
		return err
	}
	text := bare(err).Error()
	own := withoutSecret(text, secret)
	switch {
	case own == text:
		return err
	case errors.Is(err, context.DeadlineExceeded): // problemOf reads this too
		return context.DeadlineExceeded
	}
	return errors.New(own)
}

// readHeaders are the names of the headers that azhost and azcore read. They stay, even if the secret is part of
// a name.
var readHeaders = []string{
	"Age", "Content-Type", "Date", "Location", "Retry-After", "Retry-After-Ms", "Server", "Www-Authenticate", "X-Ms-Azure-Host-Authorization",
	"X-Ms-Correlation-Request-Id", "X-Ms-Request-Id", "X-Ms-Retry-After-Ms", "X-Request-Id",
}

// headerWithoutSecret returns a header for the pipeline, which logs and traces it. A valid date, age, or
// pause stays unchanged, because azhost reads it later.
func headerWithoutSecret(header http.Header, secret string) http.Header {
	if secret == "" {
		return header
	}
	own := header.Clone()
	for name, values := range own {
		if lower := strings.ToLower(name); !slices.Contains(readHeaders, name) && withoutSecret(lower, strings.ToLower(secret)) != lower {
			delete(own, name)
			continue
		}
		_, err := http.ParseTime(own.Get(name))
		_, notNumber := strconv.ParseUint(own.Get(name), 10, 31)
		if pause := strings.Contains(name, "Retry-After") && retryAfter(own) > 0; pause || name == "Date" && err == nil || name == "Age" && notNumber == nil {
			continue
		}
		for i, v := range values {
			values[i] = withoutSecret(v, secret)
		}
	}
	return own
}

// bodyWithoutSecret returns the body without the secret, for people. It may no longer be valid JSON.
func bodyWithoutSecret(resp *http.Response) []byte {
	body, secret := payload(resp), secretOf(resp.Request)
	if secret == "" {
		return body
	}
	return []byte(withoutSecret(string(body), secret))
}

// tokenText matches a token in a body, as a member or by itself. The JSON around it may be malformed, or be
// part of a string.
var tokenText = regexp.MustCompile(`(?i)access_?token["'\\]*\s*[:=>]["'\\\s]*[^\s"'\\&<]*|\beyJ[\w-]{10,}\.[\w-]+(?:\.[\w-]*)?`)

// mayHaveToken reports whether a response may contain a token, which must not be in an error.
func mayHaveToken(resp *http.Response) bool {
	return resp.StatusCode/100 == 2 || tokenText.MatchString(tokenjson.Line(decoded(payload(resp))))
}

// stripped copies a response and its request without the headers that carry secrets.
func stripped(resp *http.Response) *http.Response {
	own := *resp
	own.Body = http.NoBody
	own.Request = resp.Request.Clone(context.Background())
	for _, h := range &hosts {
		own.Request.Header.Del(h.secretHeader)
	}
	return &own
}

// payload returns the body of a response that has passed the pipeline.
func payload(resp *http.Response) []byte {
	if body, ok := resp.Body.(*readBody); ok {
		return body.all
	}
	body, _ := runtime.Payload(resp) // in memory, so it cannot fail
	return body
}
