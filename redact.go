// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// This file removes secrets from errors, logs, and spans, because a response may repeat its request's secret.
// azhost parses the original response, because a secret may also be a word in a valid one.

// removed replaces a secret.
const removed = "[removed]"

// secretHeaders are the request headers that carry a secret.
var secretHeaders = []string{"Authorization", "Secret", "X-Identity-Header"}

// isSecret reports whether a request header carries a secret.
func isSecret(header string) bool {
	return slices.ContainsFunc(secretHeaders, func(s string) bool { return strings.EqualFold(s, header) })
}

// secretOf returns the request's secret, or "".
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

// errWithoutSecret returns err or, if its text contains the secret, an error with the secret removed from the
// text. net/http's errors quote what it can't parse.
func errWithoutSecret(err error, secret string) error {
	if text := bare(err).Error(); secret != "" && strings.Contains(text, secret) {
		return errors.New(withoutSecret(text, secret))
	}
	return err
}

// headerWithoutSecret returns a header for the pipeline, which logs and traces it. A valid date, age, or
// pause stays unchanged, because azhost reads it later.
func headerWithoutSecret(header http.Header, secret string) http.Header {
	if secret == "" {
		return header
	}
	own := header.Clone()
	for name, values := range own {
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

// escape matches an ASCII character that JSON has escaped.
var escape = regexp.MustCompile(`\\u00[0-7][0-9A-Fa-f]`)

// bodyWithoutSecret returns the body without the secret. JSON can encode the secret in many ways, so if
// a decoded string still contains it, the whole body is replaced, even if the JSON is not valid.
func bodyWithoutSecret(resp *http.Response) []byte {
	body, secret := payload(resp), secretOf(resp.Request)
	if secret == "" {
		return body
	}
	own := bytes.ReplaceAll(body, []byte(secret), []byte(removed))
	text := string(own)
	if v := any(nil); json.Unmarshal(own, &v) == nil {
		text = fmt.Sprint(v)
	}
	text = escape.ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.ParseUint(s[2:], 16, 8)
		return string(rune(n))
	})
	if strings.Contains(strings.ReplaceAll(text, removed, ""), secret) {
		return []byte(removed)
	}
	return own
}

// tokenText matches a token in a body, as a member or by itself. The JSON around it may be malformed, or be
// part of a string.
var tokenText = regexp.MustCompile(`(?i)access_?token["'\\]*\s*[:=>]["'\\\s]*[^\s"'\\&<]*|\beyJ[\w-]{10,}\.[\w-]+(?:\.[\w-]*)?`)

// mayHaveToken reports whether a response may contain a token, which must not be in an error.
func mayHaveToken(resp *http.Response) bool {
	return resp.StatusCode/100 == 2 || tokenText.Match(payload(resp))
}

// stripped copies a response and its request without the headers that carry secrets.
func stripped(resp *http.Response) *http.Response {
	own := *resp
	own.Body = http.NoBody
	own.Request = resp.Request.Clone(context.Background())
	for _, name := range secretHeaders {
		own.Request.Header.Del(name)
	}
	return &own
}

// payload returns the body of a response that has passed the pipeline.
func payload(resp *http.Response) []byte {
	body, _ := runtime.Payload(resp) // in memory, so it cannot fail
	return body
}
