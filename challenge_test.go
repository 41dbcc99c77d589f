// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChallengeRealm(t *testing.T) {
	const path = "/var/opt/azcmagent/tokens/a.key"
	for _, test := range []struct {
		name   string
		values []string
		realm  string
		err    string
	}{
		{"bare", []string{"Basic realm=" + path}, path, ""},
		{"any case", []string{"bASIC REALM=" + path}, path, ""},
		{"blanks around =", []string{"Basic \t realm \t=  " + path + "  "}, path, ""},
		{"quoted", []string{`Basic realm="` + path + `"`}, path, ""},
		{"bare Windows path", []string{`Basic realm=C:\ProgramData\A B\a.key`}, `C:\ProgramData\A B\a.key`, ""},
		{"quoted Windows path, unescaped", []string{`Basic realm="C:\ProgramData\a.key"`}, `C:\ProgramData\a.key`, ""},
		{"quoted Windows path, escaped", []string{`Basic realm="C:\\ProgramData\\a.key"`}, `C:\ProgramData\a.key`, ""},
		{"quoted quote", []string{`Basic realm="a\"b"`}, `a"b`, ""},
		{"quoted comma", []string{`Basic realm="a,b"`}, `a,b`, ""},
		{"= in the path", []string{`Basic realm=/a=b.key`}, `/a=b.key`, ""},
		{"parameters before and after", []string{`Basic charset="UTF-8", realm=` + path + `, x=y`}, path, ""},
		{"after another scheme", []string{`Bearer authorization="https://x, Basic realm=/etc/x.key", Basic realm=` + path}, path, ""},
		{"after a token68", []string{"Negotiate YWJj==, Basic realm=" + path}, path, ""},
		{"after a bare scheme", []string{"NTLM, Basic realm=" + path}, path, ""},
		{"in the second header", []string{"Negotiate", "Basic realm=" + path}, path, ""},
		{"the first Basic of two", []string{"Basic realm=/1.key, Basic realm=/2.key"}, "/1.key", ""},
		{"empty list elements", []string{", ,Basic realm=" + path + ",,"}, path, ""},
		{"no header", nil, "", "no WWW-Authenticate challenge"},
		{"empty header", []string{""}, "", "no WWW-Authenticate challenge"},
		{"other schemes", []string{"Negotiate, Bearer realm=x"}, "", `no Basic challenge, only "Negotiate, Bearer"`},
		{"a scheme that begins alike", []string{"Basically realm=/x.key"}, "", "no Basic challenge"},
		{"no realm", []string{"Basic"}, "", "no realm"},
		{"empty realm", []string{"Basic realm="}, "", "realm is empty"},
		{"empty quoted realm", []string{`Basic realm=""`}, "", "realm is empty"},
		{"two realms", []string{"Basic realm=/1.key, realm=/2.key"}, "", "more than one realm"},
		{"unclosed quote", []string{`Basic realm="/x.key`}, "", "malformed"},
		{"text after the quote", []string{`Basic realm="/x.key"y`}, "", "malformed"},
		{"parameter without scheme", []string{"realm=/x.key"}, "", "malformed"},
		{"NUL", []string{"Basic realm=/x\x00.key"}, "", "not printable ASCII"},
		{"newline", []string{"Basic realm=/x\n.key"}, "", "not printable ASCII"},
		{"not ASCII", []string{"Basic realm=/ü.key"}, "", "not printable ASCII"},
		{"a tab in the realm", []string{"Basic realm=/a\tb.key"}, "", "tab"},
		{"8192 bytes", []string{"Basic realm=" + strings.Repeat("x", 8192-12)}, strings.Repeat("x", 8192-12), ""},
		{"8193 bytes", []string{"Basic realm=" + strings.Repeat("x", 8193-12)}, "", "more than 8192 bytes"},
		{"8193 bytes in two", []string{strings.Repeat("x", 8000), strings.Repeat("x", 193)}, "", "more than 8192 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			realm, err := challengeRealm(test.values)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				require.Less(t, len(err.Error()), 400)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.realm, realm)
		})
	}
}

func TestReadKeyInAMountedDirectory(t *testing.T) {
	mounted, agent := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(mounted, "a.key"), []byte("key"), 0o600))
	for _, named := range []string{agent, mounted} { // the agent's own path, or the container's
		key, err := readKey(challengeFor(filepath.Join(named, "a.key")), agent, mounted)
		require.NoError(t, err)
		require.Equal(t, "key", key)
	}
	_, err := readKey(challengeFor(filepath.Join(t.TempDir(), "a.key")), agent, mounted)
	require.ErrorContains(t, err, "not in the agent's key directory")
	_, err = readKey(challengeFor(filepath.Join(agent, "b.key")), agent, mounted)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func challengeFor(path string) http.Header {
	return http.Header{"Www-Authenticate": {"Basic realm=" + path}}
}

func TestRemedy(t *testing.T) {
	for _, test := range []struct {
		goos    string
		err     error
		mounted bool
		want    string
	}{
		{"linux", fs.ErrPermission, false, "usermod -aG himds"},
		{"linux", fs.ErrPermission, true, `group "himds"`},
		{"linux", fs.ErrNotExist, false, "set ArcKeyDirectory"},
		{"linux", fs.ErrNotExist, true, "at ArcKeyDirectory"},
		{"windows", fs.ErrPermission, false, `"Hybrid agent extension applications"`},
		{"windows", fs.ErrNotExist, false, `"Hybrid agent extension applications"`},
	} {
		require.Contains(t, remedy(test.goos, fmt.Errorf("x: %w", test.err), test.mounted), test.want)
	}
	require.Empty(t, remedy("linux", fs.ErrInvalid, false))
	require.Empty(t, remedy("darwin", fs.ErrPermission, false))
}

func FuzzChallengeRealm(f *testing.F) {
	for _, seed := range []string{
		"Basic realm=/var/opt/azcmagent/tokens/a.key", `basic realm="C:\ProgramData\a.key"`, "Negotiate YWJj==, Basic realm=x",
		`Bearer a="b, c", Basic x=y, realm=z`, `Basic realm="`, "=", ",", `Basic realm=a"b`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		realm, err := challengeRealm([]string{value})
		if err == nil {
			require.NotEmpty(t, realm)
			require.NotRegexp(t, `[^ -~]`, realm)
			require.Contains(t, unescaped(value), unescaped(realm))
		}
		if plain := strings.Trim(value, blanks); plain != "" && len(plain) < 8000 &&
			!strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r > '~' || r == ',' || r == '"' }) {
			realm, err = challengeRealm([]string{"Basic realm=" + plain})
			require.NoError(t, err)
			require.Equal(t, plain, realm)
		}
	})
}

// unescaped takes away every backslash, so that a realm compares with the header it came from.
func unescaped(s string) string { return strings.ReplaceAll(s, `\`, "") }
