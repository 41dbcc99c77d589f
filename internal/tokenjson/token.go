// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package tokenjson reads a host's response to a token request: the token, or the host's error.
//
// Hosts disagree about the types of their fields, and a response may come from something other than the
// expected host. So every field is checked here, and no error that Parse returns contains any of the
// response.
package tokenjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Token is the content of a successful response.
type Token struct {
	// AccessToken is never empty and holds only printable ASCII without spaces, so that it can go into a
	// header as it is.
	AccessToken string

	// ExpiresOn is in UTC, always later than the time given to Parse, and at most ten years later.
	ExpiresOn time.Time

	// RefreshIn is the host's refresh_in, counted from the time given to Parse and shorter than the token's
	// remaining life. It is zero if the host sent no usable one.
	RefreshIn time.Duration

	// ClientID, ObjectID, and ResourceID name the identity that the host says it used; each is "" if the host
	// didn't say. They are as the host sent them: quote and shorten them before printing. ResourceID is
	// msi_res_id, else mi_res_id.
	ClientID, ObjectID, ResourceID string

	// ClockSkew is how far the host's clock is ahead of this machine's (negative: behind). It is zero unless
	// the response's date shows a difference of more than five minutes, or, without a date, expires_on has
	// passed although expires_in is positive.
	ClockSkew time.Duration
}

// fields holds a response undecoded, because package json would reject the whole response for one unexpected
// type.
type fields struct {
	AccessToken json.RawMessage `json:"access_token"`
	TokenType   json.RawMessage `json:"token_type"`
	ExpiresOn   json.RawMessage `json:"expires_on"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	RefreshIn   json.RawMessage `json:"refresh_in"`
	ClientID    json.RawMessage `json:"client_id"`
	ObjectID    json.RawMessage `json:"object_id"`
	MSIResID    json.RawMessage `json:"msi_res_id"`
	MIResID     json.RawMessage `json:"mi_res_id"`
}

// Parse reads the body of a successful response that arrived at now. date is the response's Date header, or
// the zero time if it has none. The earlier of expires_on and expires_in counts; an expired token is an
// error. Errors are phrases such as "the response has no access_token", for the end of a sentence.
func Parse(body []byte, now, date time.Time) (Token, error) {
	now = now.UTC() // also drops the monotonic reading: the wall clock decides expiry
	var a fields
	if err := decode(body, &a); err != nil {
		return Token{}, err
	}
	var t Token
	var err error
	if t.AccessToken, err = accessToken(a.AccessToken); err != nil {
		return Token{}, err
	}
	// Proof-of-possession tokens are useless to a caller that sends "Bearer".
	if kind, ok := str(a.TokenType); ok && strings.TrimSpace(kind) != "" && !strings.EqualFold(strings.TrimSpace(kind), "Bearer") {
		return Token{}, errors.New("the response's token_type is not Bearer")
	}
	if err := a.identity(&t); err != nil {
		return Token{}, err
	}
	if t.ExpiresOn, t.ClockSkew, err = a.expiry(now, date); err != nil {
		return Token{}, err
	}
	if in, err := lifetime(a.RefreshIn); err == nil && in > 0 && in < t.ExpiresOn.Sub(now) {
		t.RefreshIn = in
	}
	return t, nil
}

// IsToken reports whether body is a JSON object whose access_token is a string, even an empty one. It doesn't
// check whether the token is usable.
func IsToken(body []byte) bool {
	var a struct {
		AccessToken json.RawMessage `json:"access_token"`
	}
	if decode(body, &a) != nil {
		return false
	}
	_, ok := str(a.AccessToken)
	return ok
}

// decode fills v from body, which must be one JSON object. Its errors have their own texts, because json's
// quote a byte of the response.
func decode(body []byte, v any) error {
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // a byte order mark
	start := bytes.TrimLeft(body, " \t\r\n")        // JSON's white space
	switch {
	case len(start) == 0:
		return errors.New("the response is empty")
	case start[0] == '<':
		return errors.New("the response is a page of HTML or XML, not JSON")
	}
	err := json.Unmarshal(body, v)
	switch _, malformed := errors.AsType[*json.SyntaxError](err); {
	case malformed || err != nil && start[0] == '{':
		return errors.New("the response is not valid JSON")
	case start[0] != '{':
		return errors.New("the response is JSON but not an object")
	}
	return nil
}

func accessToken(raw json.RawMessage) (string, error) {
	if absent(raw) {
		return "", errors.New("the response has no access_token")
	}
	token, ok := str(raw)
	if !ok {
		return "", errors.New("the response's access_token is not a string")
	}
	if token == "" {
		return "", errors.New("the response's access_token is empty")
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return "", errors.New("the response's access_token has a character that is invalid in a header")
		}
	}
	return token, nil
}

// identity copies the IDs of the identity. An ID of the wrong type is an error and doesn't count as missing,
// because callers compare it with the identity that they asked for.
func (a *fields) identity(t *Token) error {
	var msi, mi string
	for _, f := range []struct {
		name string
		raw  json.RawMessage
		to   *string
	}{
		{"client_id", a.ClientID, &t.ClientID},
		{"object_id", a.ObjectID, &t.ObjectID},
		{"msi_res_id", a.MSIResID, &msi},
		{"mi_res_id", a.MIResID, &mi},
	} {
		if absent(f.raw) {
			continue
		}
		s, ok := str(f.raw)
		if !ok {
			return fmt.Errorf("the response's %s is not a string", f.name)
		}
		*f.to = s
	}
	t.ResourceID = msi
	if msi == "" {
		t.ResourceID = mi
	}
	return nil
}

// absent reports whether a field was left out or is null.
func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null"
}

// str decodes a field, and reports whether it is a string.
func str(raw json.RawMessage) (s string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	// A token is plain. Decoding it a second time would cost as much as the first time.
	if text := raw[1 : len(raw)-1]; plain(text) {
		return string(text), true
	}
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// plain reports whether the inside of a JSON string needs no decoding: it is printable ASCII without escapes.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}
