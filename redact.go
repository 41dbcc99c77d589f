// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// This file removes secrets from what is written: errors, logs, spans. An answer might repeat the
// secret of its request. What is parsed stays as it came, because a secret may also be a word of an
// honest answer.

// removed replaces a secret.
const removed = "[removed]"

// secretHeaders are the request headers that carry a secret.
var secretHeaders = []string{"Authorization", "Secret", "X-Identity-Header"}

// isSecret reports whether a header proves a request to come from this machine.
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

// headerWithoutSecret returns the header without the secret, for logging and tracing. It keeps Date and
// Retry-After, which azhost reads later.
func headerWithoutSecret(header http.Header, secret string) http.Header {
	if secret == "" {
		return header
	}
	own := header.Clone()
	for name, values := range own {
		_, err := http.ParseTime(own.Get(name))
		if pause := strings.Contains(name, "Retry-After") && retryAfter(own) > 0; pause || name == "Date" && err == nil {
			continue
		}
		for i, v := range values {
			values[i] = withoutSecret(v, secret)
		}
	}
	return own
}

// bodyWithoutSecret returns the body without the secret. JSON can encode the secret in many ways, so if
// a decoded string still contains it, the whole body is replaced.
func bodyWithoutSecret(resp *http.Response) []byte {
	body, secret := payload(resp), secretOf(resp.Request)
	if secret == "" {
		return body
	}
	own := bytes.ReplaceAll(body, []byte(secret), []byte(removed))
	var v any
	if json.Unmarshal(own, &v) == nil && strings.Contains(strings.ReplaceAll(fmt.Sprint(v), removed, ""), secret) {
		return []byte(removed)
	}
	return own
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
