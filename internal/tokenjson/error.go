// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Error is a host's error: each value is one line of printable characters. They are as long as in the body,
// because a caller must remove secrets before it shortens a text.
type Error struct {
	Code        string // such as "invalid_request"
	Description string // may end in the trailer of Microsoft Entra ID; see [Text]

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
// A lone "message" doesn't count, because many other servers send that. A lone "error" is a description if it
// has spaces, unless it comes with newest-versions.
func ParseError(body []byte) (Error, bool) {
	var a struct {
		Error          field `json:"error"`
		Description    field `json:"error_description"`
		Code           field `json:"code"`
		Message        field `json:"message"`
		StatusCode     field `json:"statusCode"`
		NewestVersions field `json:"newest-versions"`
	}
	if decode(body, &a) != nil {
		return Error{}, false
	}
	var e Error
	known := false
	switch {
	case a.Error.isString:
		text := Line(a.Error.text)
		e.Description = cmp.Or(line(a.Description), line(a.Message))
		e.NewestVersions = strings.HasPrefix(a.NewestVersions.text, "[") && !a.NewestVersions.isString
		if e.Description == "" && !e.NewestVersions && strings.Contains(text, " ") {
			e.Description = text
		} else {
			e.Code = text
		}
		known = e.Code != "" || e.Description != ""
	case strings.HasPrefix(a.Error.text, "{"):
		var inner struct {
			Code    field `json:"code"`
			Message field `json:"message"`
		}
		if decode([]byte(a.Error.text), &inner) == nil {
			e.Code = line(inner.Code)
			e.Description = line(inner.Message)
		}
		known = e.Code != ""
	default:
		e.Code = line(a.Code)
		e.Description = line(a.Message)
		known = e.Description != "" && (e.Code != "" || a.StatusCode.isSet)
	}
	if !known {
		return Error{}, false
	}
	return e, true
}

// line returns a string as one line, and "" for any other type.
func line(f field) string {
	if !f.isString {
		return ""
	}
	return Line(f.text)
}

// ID is an ID that a response gives to its request.
type ID struct{ Name, Value string }

var idName = regexp.MustCompile(`(?i)^(?:x-ms-)?(?:client-)?(?:correlation|trace|request|activity)[-_]?(?:request-)?id$`)

// IDs returns the IDs in a body that is a JSON object, at its top level and in its "error", whether or not it
// is in the form of a host's error. The values are as long as in the body.
func IDs(body []byte) (ids []ID) {
	var outer map[string]field
	if decode(body, &outer) != nil {
		return nil
	}
	var inner map[string]field
	if e := outer["error"]; !e.isString {
		_ = decode([]byte(e.text), &inner)
	}
	for _, fields := range []map[string]field{inner, outer} {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !idName.MatchString(name) {
				continue
			}
			if value := line(fields[name]); value != "" {
				ids = append(ids, ID{name, value})
			}
		}
	}
	return ids
}
