// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// claims are a token's claims, for display. Nothing is verified; that is the job of the token's audience.
type claims map[string]any

// readClaims decodes the payload of a JSON Web Token.
func readClaims(token string) (claims, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	var c claims
	if err != nil || json.Unmarshal(payload, &c) != nil || c == nil {
		return nil, false
	}
	return c, true
}

// text returns the first of the claims that exists and can be shown, or "".
func (c claims) text(names ...string) string {
	for _, name := range names {
		switch v := c[name].(type) {
		case string:
			if v != "" {
				return printable(v)
			}
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return ""
}

// time returns a claim that is a number of seconds since 1970.
func (c claims) time(name string) (time.Time, bool) {
	s, ok := c[name].(float64)
	if !ok || s < 1 || s > 253402300799 { // the end of the year 9999
		return time.Time{}, false
	}
	return time.Unix(int64(s), 0).UTC(), true
}

// maxShown is the most that is shown of a text from elsewhere, in bytes.
const maxShown = 1000

// printable returns s without what could forge or hide lines on a terminal, and cut at maxShown.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return -1
	}, s)
	if len(s) > maxShown {
		s = strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}

// plain returns an error's text for a person.
func plain(err error) string { return printable(strings.TrimPrefix(err.Error(), "azhost: ")) }
