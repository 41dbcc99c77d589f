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
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
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

// fields is what is read from a response with a token.
type fields struct {
	AccessToken field `json:"access_token"`
	TokenType   field `json:"token_type"`
	ExpiresOn   field `json:"expires_on"`
	ExpiresIn   field `json:"expires_in"`
	RefreshIn   field `json:"refresh_in"`
	ClientID    field `json:"client_id"`
	ObjectID    field `json:"object_id"`
	MSIResID    field `json:"msi_res_id"`
	MIResID     field `json:"mi_res_id"`
}

// Parse reads the body of a successful response that arrived at now. date is the response's Date header, or
// the zero time if it has none. The earlier of expires_on and expires_in counts; an expired token is an
// error. Errors are phrases such as "the response has no access_token", for the end of a sentence.
func Parse(body []byte, now, date time.Time) (Token, error) {
	now = now.UTC() // also drops the monotonic reading: the wall clock decides expiry
	var r fields
	if err := decode(body, &r); err != nil {
		return Token{}, err
	}
	var t Token
	var err error
	if t.AccessToken, err = accessToken(r.AccessToken); err != nil {
		return Token{}, err
	}
	// Proof-of-possession tokens are useless to a caller that sends "Bearer".
	if kind := strings.TrimSpace(r.TokenType.text); r.TokenType.isString && kind != "" && !strings.EqualFold(kind, "Bearer") {
		return Token{}, errors.New("the response's token_type is not Bearer")
	}
	if err := r.identity(&t); err != nil {
		return Token{}, err
	}
	if t.ExpiresOn, t.ClockSkew, err = r.expiry(now, date); err != nil {
		return Token{}, err
	}
	if in, err := lifetime(r.RefreshIn); err == nil && in > 0 && in < t.ExpiresOn.Sub(now) {
		t.RefreshIn = in
	}
	return t, nil
}

// IsToken reports whether body is a JSON object whose access_token is a string, even an empty one. It doesn't
// check whether the token is usable.
func IsToken(body []byte) bool {
	var a struct {
		AccessToken field `json:"access_token"`
	}
	return decode(body, &a) == nil && a.AccessToken.isString
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

func accessToken(f field) (string, error) {
	switch {
	case !f.isSet:
		return "", errors.New("the response has no access_token")
	case !f.isString:
		return "", errors.New("the response's access_token is not a string")
	case f.text == "":
		return "", errors.New("the response's access_token is empty")
	}
	for i := range len(f.text) {
		if f.text[i] <= ' ' || f.text[i] > '~' {
			return "", errors.New("the response's access_token has a character that is invalid in a header")
		}
	}
	return f.text, nil
}

// identity copies the IDs of the identity. An ID of the wrong type is an error and doesn't count as missing,
// because callers compare it with the identity that they asked for.
func (r *fields) identity(t *Token) error {
	for _, id := range [...]struct {
		name string
		field
	}{{"client_id", r.ClientID}, {"object_id", r.ObjectID}, {"msi_res_id", r.MSIResID}, {"mi_res_id", r.MIResID}} {
		if id.isSet && !id.isString {
			return fmt.Errorf("the response's %s is not a string", id.name)
		}
	}
	t.ClientID, t.ObjectID, t.ResourceID = r.ClientID.text, r.ObjectID.text, cmp.Or(r.MSIResID.text, r.MIResID.text)
	return nil
}

// field is a value of any type. Package json would reject the whole response for one unexpected type.
type field struct {
	isSet    bool // it is in the response and not null
	isString bool
	text     string // the string, or the JSON of a value of another type; "" if not set
}

// UnmarshalJSON implements [json.Unmarshaler].
func (f *field) UnmarshalJSON(raw []byte) error {
	*f = field{isSet: string(raw) != "null", isString: raw[0] == '"'}
	switch {
	case !f.isSet:
	case !f.isString:
		f.text = string(raw)
	// A token has no escapes. Decoding it a second time would cost as much as the first time.
	case bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw):
		f.text = string(raw[1 : len(raw)-1])
	default:
		return json.Unmarshal(raw, &f.text)
	}
	return nil
}
