// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package challenge

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRealm(t *testing.T) {
	const (
		path   = "/var/opt/azcmagent/tokens/a.key"
		single = "not a single Basic challenge"
	)
	for _, test := range []struct {
		name    string
		headers []string
		realm   string
		err     string
	}{
		{"bare", []string{"Basic realm=" + path}, path, ""},
		{"any case", []string{"bASIC REALM=" + path}, path, ""},
		{"spaces around", []string{"  Basic   realm  =  " + path + "  "}, path, ""},
		{"quoted", []string{`Basic realm="` + path + `"`}, path, ""},
		{"quoted, spaces around", []string{`Basic realm = "` + path + `"  `}, path, ""},
		{"bare Windows path", []string{`Basic realm=C:\ProgramData\A B\a.key`}, `C:\ProgramData\A B\a.key`, ""},
		{"bare backslashes are kept", []string{`Basic realm=C:\\a.key`}, `C:\\a.key`, ""},
		{"quoted Windows path, unescaped", []string{`Basic realm="C:\ProgramData\a.key"`}, `C:\ProgramData\a.key`, ""},
		{"quoted Windows path, escaped", []string{`Basic realm="C:\\ProgramData\\a.key"`}, `C:\ProgramData\a.key`, ""},
		{"quoted quote", []string{`Basic realm="a\"b"`}, `a"b`, ""},
		{"quoted backslash at the end", []string{`Basic realm="a\\"`}, `a\`, ""},
		{"quoted comma", []string{`Basic realm="a, Basic realm=b"`}, `a, Basic realm=b`, ""},
		{"quoted spaces", []string{`Basic realm=" a "`}, ` a `, ""},
		{"= in the path", []string{`Basic realm=/a=b.key`}, `/a=b.key`, ""},
		{"charset", []string{`Basic realm="` + path + `", charset="UTF-8"`}, path, ""},
		{"charset after a bare realm", []string{"Basic realm=" + path + " , Charset = utf-8 "}, path, ""},
		{"no header", nil, "", "no WWW-Authenticate header"},
		{"two headers", []string{"Negotiate", "Basic realm=" + path}, "", "more than one WWW-Authenticate header"},
		{"empty header", []string{""}, "", single},
		{"another scheme", []string{"Negotiate"}, "", `begins with "Negotiate"`},
		{"another scheme's realm", []string{"Bearer realm=x"}, "", `begins with "Bearer"`},
		{"scheme with Basic as a prefix", []string{"Basically realm=/x.key"}, "", `begins with "Basically"`},
		{"long scheme", []string{strings.Repeat("x", 8000)}, "", `begins with "` + strings.Repeat("x", 40) + `"`},
		{"two challenges", []string{"Basic realm=/1.key, Basic realm=/2.key"}, "", single},
		{"two quoted challenges", []string{`Basic realm="/1.key", Basic realm="/2.key"`}, "", single},
		{"second of two challenges", []string{"NTLM, Basic realm=" + path}, "", single},
		{"parameter before", []string{`Basic charset="UTF-8", realm=` + path}, "", single},
		{"parameter after", []string{"Basic realm=" + path + ", x=y"}, "", single},
		{"parameter after a quoted realm", []string{`Basic realm="` + path + `", realm="/x.key"`}, "", single},
		{"challenge after charset", []string{`Basic realm="` + path + `", charset="UTF-8", Basic realm=/x.key`}, "", single},
		{"two realms", []string{"Basic realm=/1.key, realm=/2.key"}, "", single},
		{"another parameter", []string{"Basic xrealm=" + path}, "", single},
		{"no realm", []string{"Basic"}, "", single},
		{"no =", []string{"Basic realm"}, "", single},
		{"no scheme", []string{"realm=/x.key"}, "", single},
		{"path alone", []string{"/x.key"}, "", `begins with ""`},
		{"scheme and path alone", []string{"Basic /x.key"}, "", single},
		{"unclosed quote", []string{`Basic realm="/x.key`}, "", single},
		{"escaped closing quote", []string{`Basic realm="C:\"`}, "", single},
		{"text after the quote", []string{`Basic realm="/x.key"y`}, "", single},
		{"quote inside a bare realm", []string{`Basic realm=/x".key`}, "", single},
		{"empty realm", []string{"Basic realm="}, "", "realm in WWW-Authenticate is empty"},
		{"empty quoted realm", []string{`Basic realm=""`}, "", "realm in WWW-Authenticate is empty"},
		{"NUL", []string{"Basic realm=/x\x00.key"}, "", "not printable ASCII"},
		{"tab", []string{"Basic realm=/a\tb.key"}, "", "not printable ASCII"},
		{"newline at the end", []string{"Basic realm=/x.key\n"}, "", "not printable ASCII"},
		{"not ASCII", []string{"Basic realm=/ü.key"}, "", "not printable ASCII"},
		{"letter that folds to ASCII", []string{"Ba\u017fic realm=/x.key"}, "", "not printable ASCII"},
		{"8192 bytes", []string{"Basic realm=" + strings.Repeat("x", 8192-12)}, strings.Repeat("x", 8192-12), ""},
		{"8193 bytes", []string{"Basic realm=" + strings.Repeat("x", 8193-12)}, "", "more than 8192 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			realm, err := Realm(test.headers)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				require.NotContains(t, err.Error(), ".key", "the name of a key file is different each time")
				require.Less(t, len(err.Error()), 200)
				require.Empty(t, realm)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.realm, realm)
		})
	}
}

// FuzzRealm checks that a realm is text of its header, and that any text comes back as it was sent.
func FuzzRealm(f *testing.F) {
	for _, seed := range []string{
		"Basic realm=/var/opt/azcmagent/tokens/a.key", `basic realm="C:\ProgramData\a.key"`, "Negotiate YWJj==, Basic realm=x",
		`Bearer a="b, c", Basic x=y, realm=z`, `Basic realm="`, "=", ",", `Basic realm=a"b`, `\"\\`,
	} {
		f.Add(seed)
	}
	withoutBackslashes := strings.NewReplacer(`\`, "")
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	f.Fuzz(func(t *testing.T, text string) {
		realm, err := Realm([]string{text})
		if err == nil {
			require.NotEmpty(t, realm)
			require.NotRegexp(t, `[^ -~]`, realm)
			require.Contains(t, withoutBackslashes.Replace(text), withoutBackslashes.Replace(realm))
		}
		if text == "" || len(text) > 4000 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return
		}
		realm, err = Realm([]string{`Basic realm="` + escape.Replace(text) + `"`})
		require.NoError(t, err)
		require.Equal(t, text, realm)
		if bare := strings.Trim(text, " "); bare != "" && !strings.ContainsAny(bare, `,"`) {
			realm, err = Realm([]string{"Basic realm=" + text})
			require.NoError(t, err)
			require.Equal(t, bare, realm)
		}
	})
}
