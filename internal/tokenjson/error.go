// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"
)

// Limits of what is quoted from a host's error, in bytes. Every known error is shorter, and long text from
// another server stays out of the caller's log.
const (
	maxCode        = 128
	maxDescription = 1024
	maxID          = 64
)

// Error is a host's error, safe to print: each value is one line of printable characters. A value that was
// too long is cut and ends in "…".
type Error struct {
	Code        string // such as "invalid_request"; at most 128 bytes and the "…"
	Description string // at most 1024 bytes and the "…"

	// CorrelationID and Trailer differ each time, so they are only for the log. CorrelationID is the
	// correlationId of App Service and Service Fabric. Trailer is what Microsoft Entra ID writes at the end
	// of a description, "Trace ID: … Correlation ID: … Timestamp: …"; Description doesn't include it.
	CorrelationID, Trailer string

	// NewestVersions reports that the response lists api-versions, as IMDS does to reject one that it doesn't
	// support. Code is a sentence then.
	NewestVersions bool
}

// ParseError reads the body of an unsuccessful response. It returns false if that is not a JSON object in the
// form of any host's error:
//
//	{"error": "…", "error_description": "…"}        IMDS, Azure Arc; either part of the text may be missing
//	{"error": "…", "newest-versions": ["…"]}        IMDS, about the api-version
//	{"error": {"code": "…", "message": "…"}}        Service Fabric, Cloud Shell; the message may be missing
//	{"code": "…", "message": "…"}                   IMDS, by its published schema
//	{"statusCode": 400, "message": "…"}             App Service
//
// The last three may have a "correlationId" next to the message. A lone "message" doesn't count, because many
// other servers send that. A lone "error" with spaces is a description and not a code, except about the
// api-version.
func ParseError(body []byte) (Error, bool) {
	var a struct {
		Error          json.RawMessage `json:"error"`
		Description    json.RawMessage `json:"error_description"`
		Code           json.RawMessage `json:"code"`
		Message        json.RawMessage `json:"message"`
		StatusCode     json.RawMessage `json:"statusCode"`
		CorrelationID  json.RawMessage `json:"correlationId"`
		NewestVersions json.RawMessage `json:"newest-versions"`
	}
	if decode(body, &a) != nil {
		return Error{}, false
	}
	var e Error
	known := false
	if text, isString := str(a.Error); isString {
		e.describe(a.Description)
		if e.Description == "" {
			e.describe(a.Message)
		}
		e.NewestVersions = bytes.HasPrefix(a.NewestVersions, []byte("["))
		if e.Description == "" && !e.NewestVersions && strings.Contains(oneLine(text, maxCode), " ") {
			e.describe(a.Error)
		} else {
			e.Code = oneLine(text, maxCode)
		}
		known = e.Code != "" || e.Description != ""
	} else if bytes.HasPrefix(a.Error, []byte("{")) {
		var inner struct {
			Code          json.RawMessage `json:"code"`
			Message       json.RawMessage `json:"message"`
			CorrelationID json.RawMessage `json:"correlationId"`
		}
		if decode(a.Error, &inner) == nil {
			e.Code = line(inner.Code, maxCode)
			e.describe(inner.Message)
			e.CorrelationID = line(inner.CorrelationID, maxID)
		}
		known = e.Code != ""
	} else {
		e.Code = line(a.Code, maxCode)
		e.describe(a.Message)
		known = e.Description != "" && (e.Code != "" || !absent(a.StatusCode))
	}
	if !known {
		return Error{}, false
	}
	e.CorrelationID = cmp.Or(e.CorrelationID, line(a.CorrelationID, maxID))
	return e, true
}

// describe sets Description and Trailer from a string; any other type counts as an empty one.
func (e *Error) describe(raw json.RawMessage) {
	s, _ := str(raw)
	e.Description, e.Trailer = cutTrailer(s, maxDescription)
}

// line decodes a string to one line; it is "" for any other type.
func line(raw json.RawMessage, limit int) string {
	s, _ := str(raw)
	return oneLine(s, limit)
}
