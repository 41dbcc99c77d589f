// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what is quoted from a host's error, in bytes. They hold any error
// seen in the wild, and keep an impostor's page out of the caller's log.
const (
	maxCode        = 128
	maxDescription = 1024
)

// Error is what a host's error says, safe to print: one line each of printable
// characters. A value that was too long is cut and ends in "…".
type Error struct {
	Code        string // such as "invalid_request"; at most 128 bytes and the "…"
	Description string // at most 1024 bytes and the "…"

	// NewestVersions: the answer lists api-versions, which is how IMDS refuses
	// one that it does not know. Its Code is a sentence then.
	NewestVersions bool
}

// ParseError reads the body of an unsuccessful answer. It reports false if that
// is not a JSON object in the shape of any host's error:
//
//	{"error": "…", "error_description": "…"}        IMDS, Azure Arc; either part of the text may be missing
//	{"error": "…", "newest-versions": ["…"]}        IMDS, about the api-version
//	{"error": {"code": "…", "message": "…"}}        Service Fabric, Cloud Shell; the message may be missing
//	{"code": "…", "message": "…"}                   IMDS, by its published schema
//	{"statusCode": 400, "message": "…"}             App Service
//
// A lone "message" is not among them: many other servers send that.
func ParseError(body []byte) (Error, bool) {
	var a struct {
		Error          json.RawMessage `json:"error"`
		Description    json.RawMessage `json:"error_description"`
		Code           json.RawMessage `json:"code"`
		Message        json.RawMessage `json:"message"`
		StatusCode     json.RawMessage `json:"statusCode"`
		NewestVersions json.RawMessage `json:"newest-versions"`
	}
	if decode(body, &a) != nil {
		return Error{}, false
	}
	var e Error
	known := false
	if _, isString := str(a.Error); isString {
		e.Code = line(a.Error, maxCode)
		e.Description = line(a.Description, maxDescription)
		if e.Description == "" {
			e.Description = line(a.Message, maxDescription)
		}
		e.NewestVersions = bytes.HasPrefix(a.NewestVersions, []byte("["))
		known = e.Code != "" || e.Description != ""
	} else if bytes.HasPrefix(a.Error, []byte("{")) {
		var inner struct {
			Code    json.RawMessage `json:"code"`
			Message json.RawMessage `json:"message"`
		}
		if decode(a.Error, &inner) == nil {
			e.Code = line(inner.Code, maxCode)
			e.Description = line(inner.Message, maxDescription)
		}
		known = e.Code != ""
	} else {
		e.Code = line(a.Code, maxCode)
		e.Description = line(a.Message, maxDescription)
		known = e.Description != "" && (e.Code != "" || !absent(a.StatusCode))
	}
	if !known {
		return Error{}, false
	}
	return e, true
}

// line decodes a string to one printable line of at most limit bytes, and the
// "…" if it had to be cut. It is "" for any other type.
func line(raw json.RawMessage, limit int) string {
	s, _ := str(raw)
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r): // line breaks would forge lines in a log
			space = b.Len() > 0
			continue
		case !unicode.IsPrint(r): // control characters, and those that reorder or hide text
			continue
		}
		n := utf8.RuneLen(r)
		if space {
			n++
		}
		if b.Len()+n > limit {
			b.WriteString("…")
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
