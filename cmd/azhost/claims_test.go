// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/base64"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// FuzzClaims checks that no token can forge or hide a line of the output.
func FuzzClaims(f *testing.F) {
	for _, payload := range []string{
		`{"tid":"t","oid":"o","appid":"a","exp":1790000000,"iat":1}`, `{"tid":"a\nb\u202ec","exp":1e308,"iat":-1}`,
		`{"tid":{"x":[]},"exp":"soon"}`, `null`, `[]`, `{`, "\xff",
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		c, ok := readClaims("header." + base64.RawURLEncoding.EncodeToString(payload) + ".signature")
		require.Equal(t, ok, c != nil)
		for _, name := range []string{"tid", "oid", "appid", "xms_mirid", "aud", "iss", "exp"} {
			shown := c.text(name)
			require.LessOrEqual(t, len(shown), maxShown+len("…"))
			for _, r := range shown {
				require.True(t, unicode.IsPrint(r), "%q", shown)
			}
			if at, ok := c.time(name); ok {
				require.LessOrEqual(t, at.Year(), 9999)
			}
		}
	})
}

func TestClaimsOfInvalidTokens(t *testing.T) {
	for name, token := range map[string]string{
		"empty": "", "two parts": "a.b", "not base64": "a.?.c", "not JSON": "a.YQ.c", "null": "a.bnVsbA.c", "an array": "a.W10.c",
	} {
		t.Run(name, func(t *testing.T) {
			_, readable := readClaims(token)
			require.False(t, readable)
		})
	}
	c, readable := readClaims("a.eyJ0aWQiOiJ4XHUwMDFiWzFteSIsImlhdCI6MSwiZXhwIjoyNTM0MDIzMDA4MDB9.c")
	require.True(t, readable)
	require.Equal(t, "x[1my", c.text("tid"), "a control character reached the terminal")
	require.Equal(t, "", c.text("oid"))
	_, there := c.time("iat")
	require.True(t, there)
	_, there = c.time("exp") // after the year 9999
	require.False(t, there)
}
