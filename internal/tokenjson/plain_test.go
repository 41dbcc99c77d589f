// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// agree requires that body is read as json reads it, if it is read at all.
func agree(t *testing.T, body string) (ok bool) {
	t.Helper()
	got, ok := plainAnswer([]byte(body))
	if !ok {
		require.Zero(t, got)
		return false
	}
	var want answer
	require.NoError(t, decode([]byte(body), &want))
	require.Equal(t, want, got)
	return true
}

func TestPlainAnswer(t *testing.T) {
	var fields []string
	for f := range reflect.TypeFor[answer]().Fields() {
		fields = append(fields, `"`+f.Tag.Get("json")+`":"value of `+f.Name+`"`)
	}
	for name, body := range map[string]string{
		"VM":               bodyVM,
		"Arc":              bodyArc,
		"App Service":      bodyAppService,
		"each field":       "{" + strings.Join(fields, ",") + "}",
		"blanks":           " {\r\n\t\"access_token\" : \"a b\" ,\n\"other\":\"\" } \n",
		"a field twice":    `{"access_token":"a","expires_on":"1","access_token":"b"}`,
		"an unknown field": `{"ext_expires_in":"86399","not-before":"","~!@[]{}:,":"{[]}:,'"}`,
		"an unnamed field": `{"":"a"}`,
	} {
		t.Run(name, func(t *testing.T) { require.True(t, agree(t, body)) })
	}
}

func TestPlainAnswerLeavesTheRestToJSON(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":                      "",
		"HTML":                         bodyHTML,
		"another type":                 `["access_token","a"]`,
		"no fields":                    `{}`,
		"a number":                     bodyAzureML,
		"null":                         `{"access_token":null}`,
		"nested":                       `{"access_token":{"access_token":"a"}}`,
		"escape":                       `{"access_token":"a\/b"}`,
		"escaped quote":                `{"access_token":"a\"b"}`,
		"escape in a name":             `{"access\u005ftoken":"a"}`,
		"control character":            "{\"access_token\":\"a\nb\"}",
		"not ASCII":                    `{"access_token":"ä"}`,
		"not UTF-8":                    "{\"access_token\":\"\xff\"}",
		"name in another case":         `{"Access_Token":"a"}`,
		"name that folds to a field":   "{\"acce\u017fs_token\":\"a\"}",
		"name without quotes":          `{access_token:"a"}`,
		"no colon":                     `{"access_token" "a"}`,
		"no comma":                     `{"access_token":"a" "b":"c"}`,
		"comma before the end":         `{"access_token":"a",}`,
		"comma first":                  `{,"access_token":"a"}`,
		"no value":                     `{"access_token":}`,
		"no end":                       `{"access_token":"a"`,
		"string without an end":        `{"access_token":"a`,
		"blank that JSON has not":      "{\v\"access_token\":\"a\"}",
		"something after the end":      `{"access_token":"a"}}`,
		"another object after the end": `{"access_token":"a"} {}`,
		"byte order mark":              "\ufeff{\"access_token\":\"a\"}",
	} {
		t.Run(name, func(t *testing.T) { require.False(t, agree(t, body)) })
	}
}

// TestPlainAnswerCutAnywhere: no part of an answer is taken for a whole one.
func TestPlainAnswerCutAnywhere(t *testing.T) {
	for n := range len(bodyVM) {
		require.False(t, agree(t, bodyVM[:n]), "%d bytes", n)
	}
}

func FuzzPlainAnswer(f *testing.F) {
	for _, body := range append(errorBodies, bodies...) {
		f.Add(body)
	}
	f.Add(`{ "msi_res_id" : "a" , "MI_RES_ID":"b"}`)
	f.Fuzz(func(t *testing.T, body string) { agree(t, body) })
}
