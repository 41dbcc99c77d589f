// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"bytes"
	"encoding/json"
)

// plainAnswer reads a body that is an object of plain strings, which is how IMDS
// and the Arc agent write their tokens. It reports false for any other body,
// which json must read. It is there because json takes over twice as long, which
// makes a whole fetch over loopback a tenth slower. The fields are parts of body.
func plainAnswer(body []byte) (answer, bool) {
	var a answer
	rest := plainReader(body)
	if !rest.take('{') {
		return answer{}, false
	}
	for {
		name, ok := rest.text()
		if !ok || !rest.take(':') {
			return answer{}, false
		}
		value, ok := rest.text()
		if !ok || !a.set(name, value) {
			return answer{}, false
		}
		if rest.take(',') {
			continue
		}
		if !rest.take('}') || len(bytes.TrimLeft(rest, blanks)) > 0 {
			return answer{}, false
		}
		return a, true
	}
}

// set sets the field that json would set for a member with that name, and
// reports false if it does not know which. Name and value are in their quotes.
func (a *answer) set(name, value json.RawMessage) bool {
	switch string(name) {
	case `"access_token"`:
		a.AccessToken = value
	case `"token_type"`:
		a.TokenType = value
	case `"expires_on"`:
		a.ExpiresOn = value
	case `"expires_in"`:
		a.ExpiresIn = value
	case `"refresh_in"`:
		a.RefreshIn = value
	case `"client_id"`:
		a.ClientID = value
	case `"object_id"`:
		a.ObjectID = value
	case `"msi_res_id"`:
		a.MSIResID = value
	case `"mi_res_id"`:
		a.MIResID = value
	default:
		return bytes.Equal(name, bytes.ToLower(name)) // json takes its fields' names in any case
	}
	return true
}

// plainReader is the rest of a JSON text.
type plainReader []byte

// blanks are what JSON allows between its tokens.
const blanks = " \t\r\n"

// take takes c if that is what comes next.
func (r *plainReader) take(c byte) bool {
	s := bytes.TrimLeft(*r, blanks)
	if len(s) == 0 || s[0] != c {
		return false
	}
	*r = s[1:]
	return true
}

// text takes a plain string, in its quotes, if that is what comes next.
func (r *plainReader) text() (json.RawMessage, bool) {
	s := bytes.TrimLeft(*r, blanks)
	if len(s) == 0 || s[0] != '"' {
		return nil, false
	}
	n := bytes.IndexByte(s[1:], '"')
	if n < 0 || !plain(s[1:1+n]) {
		return nil, false
	}
	n += len(`""`)
	*r = s[n:]
	return json.RawMessage(s[:n]), true
}

// plain reports whether the inside of a JSON string means itself: printable
// ASCII, no escapes.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}
