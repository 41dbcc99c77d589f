// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testNow is 2023-01-06 12:38:13 UTC; expiry fields of the tests count from it.
var testNow = time.Unix(1673008693, 0)

// Bodies as the hosts send them, with shorter tokens.
const (
	bodyVM = `{"access_token":"eyJ0eXAi.eyJhdWQi.c2lnbmF0","client_id":"01234567-89ab-cdef-0123-456789abcdef",` +
		`"expires_in":"86400","expires_on":"1673095093","ext_expires_in":"86399","not_before":"1673008393",` +
		`"resource":"https://vault.azure.net","token_type":"Bearer"}`
	bodyNumbers = `{"access_token":"eyJ0eXAi.eyJhdWQi.c2lnbmF0","refresh_token":"","expires_in":86400,"refresh_in":43200,` +
		`"expires_on":1673095093,"not_before":1673008393,"resource":"https://vault.azure.net","token_type":"Bearer"}`
	bodyArc = `{"access_token":"eyJ0eXAi.eyJhdWQi.c2lnbmF0","expires_in":"86400","expires_on":"1673095093",` +
		`"not_before":"","resource":"https://vault.azure.net","token_type":"Bearer","msi_res_id":"/subscriptions/s/uai"}`
	bodyAppService = `{"access_token":"eyJ0eXAi.eyJhdWQi.c2lnbmF0","expires_on":"1673095093",` +
		`"resource":"https://vault.azure.net","token_type":"Bearer","client_id":"01234567-89ab-cdef-0123-456789abcdef"}`
	bodyAppService2017 = `{"access_token":"eyJ0eXAi.eyJhdWQi.c2lnbmF0","expires_on":"1/7/2023 12:38:13 PM +00:00",` +
		`"resource":"https://vault.azure.net","token_type":"Bearer"}`
	bodyAzureML = `{"access_token":"eyJ0eXAi.eyJhdWQi.c2lnbmF0","expires_on":1673095093,` +
		`"resource":"https://vault.azure.net","token_type":"Bearer","client_id":"01234567-89ab-cdef-0123-456789abcdef"}`
	bodyHTML = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please log in.</body></html>"
)

var bodies = []string{bodyVM, bodyNumbers, bodyArc, bodyAppService, bodyAppService2017, bodyAzureML, bodyHTML}

// token returns a valid body with the given fields.
func token(fields string) string {
	return `{"access_token":"a.b.c",` + fields + `}`
}

func TestParseHosts(t *testing.T) {
	const jwt, guid = "eyJ0eXAi.eyJhdWQi.c2lnbmF0", "01234567-89ab-cdef-0123-456789abcdef"
	day := testNow.Add(24 * time.Hour).UTC()
	for _, row := range []struct {
		name, body string
		want       Token
	}{
		{"VM, all strings", bodyVM, Token{AccessToken: jwt, ExpiresOn: day, ClientID: guid}},
		{"numbers and refresh_in", bodyNumbers, Token{AccessToken: jwt, ExpiresOn: day, RefreshIn: 12 * time.Hour}},
		{"byte order mark", "\ufeff" + bodyVM, Token{AccessToken: jwt, ExpiresOn: day, ClientID: guid}},
		{"Arc, blank not_before", bodyArc, Token{AccessToken: jwt, ExpiresOn: day, ResourceID: "/subscriptions/s/uai"}},
		{"App Service", bodyAppService, Token{AccessToken: jwt, ExpiresOn: day, ClientID: guid}},
		{"App Service 2017-09-01", bodyAppService2017, Token{AccessToken: jwt, ExpiresOn: day}},
		{"Azure ML", bodyAzureML, Token{AccessToken: jwt, ExpiresOn: day, ClientID: guid}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Parse([]byte(row.body), testNow, time.Time{})
			require.NoError(t, err)
			require.Equal(t, row.want, got)
			require.True(t, IsToken([]byte(row.body)))
		})
	}
}

func TestParseRejectsBody(t *testing.T) {
	const syntax = "the response is not valid JSON"
	for _, row := range []struct{ name, body, want string }{
		{"nothing", "", "the response is empty"},
		{"blanks", " \r\n\t", "the response is empty"},
		{"HTML", bodyHTML, "the response is a page of HTML or XML, not JSON"},
		{"HTML after blanks", "\n\n<html>", "the response is a page of HTML or XML, not JSON"},
		{"text", "Bad Gateway", syntax},
		{"two byte order marks", "\ufeff\ufeff{}", syntax},
		{"cut off", bodyVM[:40], syntax},
		{"trailing garbage", "{} x", syntax},
		{"two objects", "{}{}", syntax},
		{"null", "null", "the response is JSON but not an object"},
		{"array", "[" + bodyVM + "]", "the response is JSON but not an object"},
		{"string", `"a.b.c"`, "the response is JSON but not an object"},
		{"number", "3600", "the response is JSON but not an object"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := Parse([]byte(row.body), testNow, time.Time{})
			require.EqualError(t, err, row.want)
			require.False(t, IsToken([]byte(row.body)))
		})
	}
}

func TestParseRejectsDeepNesting(t *testing.T) {
	deep := []byte(strings.Repeat(`{"access_token":`, 60_000) + `""` + strings.Repeat("}", 60_000))
	_, err := Parse(deep, testNow, time.Time{})
	require.ErrorContains(t, err, "the response is not valid JSON")
	require.False(t, IsToken(deep))
}

func TestParseAccessToken(t *testing.T) {
	const unsafe = "the response's access_token has a character that is invalid in a header"
	for _, row := range []struct{ name, field, want, err string }{
		{"lowest and highest byte", `"access_token":"!a~"`, "!a~", ""},
		{"escaped letters", `"access_token":"\u0061\/b"`, "a/b", ""},
		{"last of two wins", `"access_token":"first","access_token":"second"`, "second", ""},
		{"absent", `"token":"a"`, "", "the response has no access_token"},
		{"null", `"access_token":null`, "", "the response has no access_token"},
		{"empty", `"access_token":""`, "", "the response's access_token is empty"},
		{"number", `"access_token":12345678`, "", "the response's access_token is not a string"},
		{"object", `"access_token":{"a":"b"}`, "", "the response's access_token is not a string"},
		{"blank", `"access_token":" "`, "", unsafe},
		{"leading blank", `"access_token":" a"`, "", unsafe},
		{"trailing newline", `"access_token":"a\n"`, "", unsafe},
		{"inner blank", `"access_token":"a b"`, "", unsafe},
		{"NUL", `"access_token":"a\u0000b"`, "", unsafe},
		{"DEL", `"access_token":"a\u007fb"`, "", unsafe},
		{"not ASCII", `"access_token":"aäb"`, "", unsafe},
		{"not UTF-8", "\"access_token\":\"a\xffb\"", "", unsafe},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Parse([]byte(`{"expires_in":60,`+row.field+`}`), testNow, time.Time{})
			if row.err != "" {
				require.EqualError(t, err, row.err)
				require.Zero(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.want, got.AccessToken)
		})
	}
}

func TestParseTokenType(t *testing.T) {
	const other = "the response's token_type is not Bearer"
	for _, row := range []struct{ name, field, err string }{
		{"absent", `"x":1`, ""},
		{"null", `"token_type":null`, ""},
		{"blank", `"token_type":" "`, ""},
		{"as documented", `"token_type":"Bearer"`, ""},
		{"other case", `"token_type":"bEARER"`, ""},
		{"blanks around", `"token_type":" Bearer\n"`, ""},
		{"proof of possession", `"token_type":"pop"`, other},
		{"longer", `"token_type":"Bearer2"`, other},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, err := Parse([]byte(token(`"expires_in":60,`+row.field)), testNow, time.Time{})
			if row.err != "" {
				require.EqualError(t, err, row.err)
				return
			}
			require.NoError(t, err)
		})
	}
}

func TestParseIdentity(t *testing.T) {
	for _, row := range []struct {
		name, fields string
		want         Token
		err          string
	}{
		{"none", `"x":1`, Token{}, ""},
		{"all", `"client_id":"C","object_id":"O","msi_res_id":"R","mi_res_id":"r"`, Token{ClientID: "C", ObjectID: "O", ResourceID: "R"}, ""},
		{"the other resource ID", `"mi_res_id":"r"`, Token{ResourceID: "r"}, ""},
		{"the first resource ID is empty", `"msi_res_id":"","mi_res_id":"r"`, Token{ResourceID: "r"}, ""},
		{"nulls", `"client_id":null,"object_id":null,"msi_res_id":null,"mi_res_id":null`, Token{}, ""},
		{"client_id is a number", `"client_id":1`, Token{}, "the response's client_id is not a string"},
		{"object_id is a list", `"object_id":["O"]`, Token{}, "the response's object_id is not a string"},
		{"msi_res_id is a bool", `"msi_res_id":false`, Token{}, "the response's msi_res_id is not a string"},
		{"unused mi_res_id is an object", `"msi_res_id":"R","mi_res_id":{}`, Token{}, "the response's mi_res_id is not a string"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Parse([]byte(token(`"expires_in":60,`+row.fields)), testNow, time.Time{})
			if row.err != "" {
				require.EqualError(t, err, row.err)
				require.Zero(t, got)
				return
			}
			require.NoError(t, err)
			row.want.AccessToken, row.want.ExpiresOn = "a.b.c", testNow.Add(time.Minute).UTC()
			require.Equal(t, row.want, got)
		})
	}
}

func TestParseIgnoresOtherFields(t *testing.T) {
	for _, value := range []string{`""`, `"x"`, `-1`, `1e999`, `true`, `null`, `[[]]`, `{"a":1}`} {
		t.Run(value, func(t *testing.T) {
			body := token(`"expires_in":60`)
			for _, field := range []string{"not_before", "ext_expires_in", "refresh_token", "resource", "unknown"} {
				body = strings.TrimSuffix(body, "}") + `,"` + field + `":` + value + `}`
			}
			got, err := Parse([]byte(body), testNow, time.Time{})
			require.NoError(t, err)
			require.Equal(t, Token{AccessToken: "a.b.c", ExpiresOn: testNow.Add(time.Minute).UTC()}, got)
		})
	}
}

func TestIsToken(t *testing.T) {
	for _, row := range []struct {
		name, body string
		want       bool
	}{
		{"empty token", `{"access_token":""}`, true},
		{"expired token", `{"access_token":"a","expires_on":1}`, true},
		{"blanks around", " {\"access_token\":\"a\"}\r\n", true},
		{"null", `{"access_token":null}`, false},
		{"number", `{"access_token":1}`, false},
		{"deeper", `{"a":{"access_token":"a"}}`, false},
		{"other object", `{"error":"x"}`, false},
		{"empty object", `{}`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, IsToken([]byte(row.body)))
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, body := range bodies {
		f.Add([]byte(body), true, testNow.Unix())
	}
	for _, body := range errorBodies {
		f.Add([]byte(body), true, testNow.Unix())
	}
	f.Add([]byte(token(`"expires_on":"2023-01-07T12:38:13.5+02:00","expires_in":"1.6e3","refresh_in":" 60 "`)), true, testNow.Unix()+86400)
	f.Add([]byte(token(`"expires_on":1673008000,"expires_in":"3600"`)), false, int64(0))
	// No error text has consecutive capitals, so finding this one means a leak.
	const canary = "QXJKWVZHQXJKWVZH"
	f.Fuzz(func(t *testing.T, body []byte, dated bool, seconds int64) {
		var date time.Time
		if dated {
			date = time.Unix(seconds, 0)
		}
		got, err := Parse(body, testNow, date)
		if err == nil {
			require.Regexp(t, `^[!-~]+$`, got.AccessToken)
			require.Equal(t, time.UTC, got.ExpiresOn.Location())
			left := got.ExpiresOn.Sub(testNow)
			require.Positive(t, left)
			require.LessOrEqual(t, left, maxLife)
			require.GreaterOrEqual(t, got.RefreshIn, time.Duration(0))
			require.Less(t, got.RefreshIn, left)
			require.True(t, got.ClockSkew == 0 || !dated || got.ClockSkew.Abs() > maxSkew)
			require.True(t, IsToken(body))
		} else {
			require.Zero(t, got)
		}
		// A token that is also a word of an error text proves nothing, so the body's token is replaced with
		// one that can't be.
		var fields map[string]json.RawMessage
		if json.Unmarshal(body, &fields) != nil || fields == nil {
			return
		}
		for name := range fields {
			if strings.EqualFold(name, "access_token") {
				delete(fields, name)
			}
		}
		for _, value := range []string{`"` + canary + `"`, `"` + canary + ` "`, `{"` + canary + `":1}`} {
			fields["access_token"] = json.RawMessage(value)
			swapped, err := json.Marshal(fields)
			require.NoError(t, err)
			for _, b := range [][]byte{swapped, swapped[:len(swapped)-1], append(swapped, canary...)} {
				if _, err := Parse(b, testNow, time.Time{}); err != nil {
					require.NotContains(t, err.Error(), canary)
				}
			}
		}
	})
}
