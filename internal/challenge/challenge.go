// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package challenge reads the header in which the Azure Arc agent names a key file.
package challenge

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// maxSize is the largest header, in bytes. An agent's header has one path.
const maxSize = 8 << 10

var (
	// basic is one challenge of RFC 7235, section 2.1, with the parameters of RFC 7617. The realm
	// should be quoted, but the agent sends its path bare, which on Windows may contain spaces.
	basic = regexp.MustCompile(`(?i)^ *Basic +realm *= *(?:"((?:[^"\\]|\\.)*)"|([^",]*?)) *(?:, *charset *= *"?UTF-8"? *)?$`)

	// word matches the scheme at the beginning of a header that does not match basic.
	word = regexp.MustCompile(`[A-Za-z-]*`)

	// unescape removes a backslash only before another one and before a quote. RFC 7235 removes it
	// before any character, which turns an unescaped "C:\ProgramData" into C:ProgramData.
	unescape = strings.NewReplacer(`\\`, `\`, `\"`, `"`)
)

// Realm returns the realm in a response's WWW-Authenticate headers, which must be a single Basic challenge.
// The realm is printable ASCII and not empty. Errors are phrases for the end of a sentence. Of the challenge,
// they quote only the scheme.
func Realm(headers []string) (string, error) {
	if len(headers) == 0 {
		return "", errors.New("the response has no WWW-Authenticate header")
	}
	if len(headers) > 1 {
		return "", errors.New("the response has more than one WWW-Authenticate header")
	}
	header := headers[0]
	if len(header) > maxSize {
		return "", fmt.Errorf("WWW-Authenticate has more than %d bytes", maxSize)
	}
	if strings.ContainsFunc(header, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", errors.New("WWW-Authenticate has a character that is not printable ASCII")
	}
	match := basic.FindStringSubmatch(header)
	if match == nil {
		return "", fmt.Errorf("WWW-Authenticate is not a single Basic challenge with a realm; it begins with %.40q", word.FindString(header))
	}
	realm := unescape.Replace(match[1]) + match[2]
	if realm == "" {
		return "", errors.New("the realm in WWW-Authenticate is empty")
	}
	return realm, nil
}
