// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/azhost/azhost/internal/keyfile"
	"github.com/stretchr/testify/require"
)

func TestChallengeRealm(t *testing.T) {
	const path = "/var/opt/azcmagent/tokens/a.key"
	for _, test := range []struct {
		name   string
		values []string
		want   string
		err    string // part of the error
	}{
		{name: "as the agent sends it", values: []string{"Basic realm=" + path}, want: path},
		{name: "Windows path", values: []string{`Basic realm=C:\ProgramData\x\Tokens\a.key`}, want: `C:\ProgramData\x\Tokens\a.key`},
		{name: "path with space", values: []string{`Basic realm=C:\Program Data\a.key`}, want: `C:\Program Data\a.key`},
		{name: "path with equals sign", values: []string{"Basic realm=/a=b.key"}, want: "/a=b.key"},
		{name: "doubled backslash without quotes", values: []string{`Basic realm=C:\\a.key`}, want: `C:\\a.key`},
		{name: "quoted", values: []string{`Basic realm="` + path + `"`}, want: path},
		{name: "quoted with comma", values: []string{`Basic realm="/a,b.key"`}, want: "/a,b.key"},
		{name: "quoted Windows path", values: []string{`Basic realm="C:\ProgramData\a.key"`}, want: `C:\ProgramData\a.key`},
		{name: "quoted and escaped Windows path", values: []string{`Basic realm="C:\\ProgramData\\a.key"`}, want: `C:\ProgramData\a.key`},
		{name: "quoted quote", values: []string{`Basic realm="a\"b"`}, want: `a"b`},
		{name: "quoted backslash at end", values: []string{`Basic realm="C:\\"`}, want: `C:\`},
		{name: "quoted blanks kept", values: []string{`Basic realm=" a "`}, want: " a "},
		{name: "lower-case scheme", values: []string{"basic realm=" + path}, want: path},
		{name: "upper-case scheme and name", values: []string{"BASIC REALM=" + path}, want: path},
		{name: "blanks around", values: []string{" \tBasic \t realm \t=\t " + path + " \t"}, want: path},
		{name: "other parameter before", values: []string{`Basic charset="UTF-8", realm=` + path}, want: path},
		{name: "other parameter after", values: []string{"Basic realm=" + path + " , charset=UTF-8"}, want: path},
		{name: "empty list elements", values: []string{",, Basic ,, realm=" + path + ", ,"}, want: path},
		{name: "parameter that ends in realm", values: []string{"Basic xrealm=/x, realm=" + path}, want: path},
		{name: "second value", values: []string{"Negotiate", "Basic realm=" + path}, want: path},
		{name: "after an empty value", values: []string{"", "Basic realm=" + path}, want: path},
		{name: "second challenge", values: []string{"Negotiate, Basic realm=" + path}, want: path},
		{name: "before another challenge", values: []string{"Basic realm=" + path + ", Negotiate"}, want: path},
		{name: "before a broken value", values: []string{"Basic realm=" + path, `"`}, want: path},
		{name: "first of two", values: []string{"Basic realm=" + path + ", Basic realm=/b.key"}, want: path},
		{name: "first of two values", values: []string{"Basic realm=" + path, "Basic realm=/b.key"}, want: path},
		{name: "another scheme's realm", values: []string{"Digest realm=/d.key, Basic realm=" + path}, want: path},
		{name: "Bearer of a vault", values: []string{`Bearer authorization="https://login.example/a, b", resource="https://vault.example", Basic realm=` + path}, want: path},
		{name: "Basic in a quoted string", values: []string{`Bearer error="x, Basic realm=/b.key", Basic realm=` + path}, want: path},
		{name: "Basic after an escaped quote", values: []string{`Bearer error="x\", Basic realm=/b.key", Basic realm=` + path}, want: path},
		{name: "Basic after an escaped backslash", values: []string{`Bearer error="x\\", Basic realm=` + path}, want: path},
		{name: "Bearer with a bare URL", values: []string{"Bearer authorization=https://login.example/x, Basic realm=" + path}, want: path},
		{name: "token that ends in equals signs", values: []string{"Negotiate oYG2MIG+/w==, Basic realm=" + path}, want: path},
		{name: "token of word characters that ends in an equals sign", values: []string{"Negotiate oYG2=, Basic realm=" + path}, want: path},
		{name: "token named Basic", values: []string{"Negotiate Basic, Basic realm=" + path}, want: path},
		{name: "scheme that begins with Basic", values: []string{"BasicX realm=/b.key, Basic realm=" + path}, want: path},

		{name: "no header", err: "no WWW-Authenticate challenge"},
		{name: "empty value", values: []string{""}, err: "no WWW-Authenticate challenge"},
		{name: "commas alone", values: []string{" ,\t, "}, err: "no WWW-Authenticate challenge"},
		{name: "other schemes", values: []string{`Bearer realm="/b.key", Negotiate abc`, "Digest realm=/d.key"}, err: `no Basic challenge, only "Bearer, Negotiate, Digest"`},
		{name: "Basic in a quoted string alone", values: []string{`Bearer error="x, Basic realm=/b.key"`}, err: `only "Bearer"`},
		{name: "Basic as a token alone", values: []string{"Negotiate Basic realm=/b.key"}, err: `only "Negotiate"`},
		{name: "many schemes", values: []string{strings.Repeat("abc,", 1000)}, err: `only "` + strings.Repeat("abc, ", 40) + `"`},
		{name: "no realm", values: []string{"Basic"}, err: "has no realm"},
		{name: "other parameters only", values: []string{`Basic charset="UTF-8"`}, err: "has no realm"},
		{name: "realm in the next challenge", values: []string{"Basic, Digest realm=/d.key"}, err: "has no realm"},
		{name: "realm in the next value", values: []string{"Basic", "Basic realm=/b.key"}, err: "has no realm"},
		{name: "credentials instead of a realm", values: []string{"Basic dXNlcjpwYXNz"}, err: "has no realm"},
		{name: "empty realm", values: []string{"Basic realm="}, err: "realm is empty"},
		{name: "blank realm", values: []string{"Basic realm= \t, charset=UTF-8"}, err: "realm is empty"},
		{name: "empty quoted realm", values: []string{`Basic realm=""`}, err: "realm is empty"},
		{name: "two realms", values: []string{"Basic realm=/a.key, realm=/b.key"}, err: "more than one realm"},
		{name: "the same realm twice", values: []string{`Basic realm=/a.key, charset=UTF-8, REALM="/a.key"`}, err: "more than one realm"},
		{name: "tab in the realm", values: []string{"Basic realm=/a\tb.key"}, err: "has a tab"},
		{name: "tab in the quoted realm", values: []string{"Basic realm=\"/a\tb.key\""}, err: "has a tab"},
		{name: "no closing quote", values: []string{`Basic realm="/a.key`}, err: `malformed at "\"/a.key"`},
		{name: "closing quote escaped", values: []string{`Basic realm="/a.key\"`}, err: "malformed"},
		{name: "text after a closing quote", values: []string{`Basic realm="/a.key"x`}, err: "malformed"},
		{name: "quote in a bare realm", values: []string{`Basic realm=/a".key`}, err: "malformed"},
		{name: "quote in a token", values: []string{`Negotiate a"b, Basic realm=/b.key"`}, err: "malformed"},
		{name: "parameter without a challenge", values: []string{"realm=/a.key"}, err: "malformed"},
		{name: "parameter in a value of its own", values: []string{"Basic charset=UTF-8", "realm=/a.key"}, err: "has no realm"},
		{name: "path alone", values: []string{"/var/opt/a.key"}, err: `malformed at "/var/opt/a.key"`},
		{name: "scheme with slash", values: []string{"Basic/1 realm=/a.key"}, err: "malformed"},
		{name: "long malformed value", values: []string{"/" + strings.Repeat("x", 500)}, err: `at "/` + strings.Repeat("x", 199) + `"`},
		{name: "NUL", values: []string{"Basic realm=/a\x00.key"}, err: "not printable"},
		{name: "newline", values: []string{"Basic realm=/a\n.key"}, err: "not printable"},
		{name: "escape", values: []string{"Basic realm=/a\x1b[2J.key"}, err: "not printable"},
		{name: "DEL", values: []string{"Basic realm=/a\x7f.key"}, err: "not printable"},
		{name: "not ASCII", values: []string{"Basic realm=/é.key"}, err: "not printable"},
		{name: "not UTF-8", values: []string{"Basic realm=/\xff.key"}, err: "not printable"},
		{name: "not ASCII in a later value", values: []string{"Basic realm=/a.key", "é"}, err: "not printable"},
		{name: "8192 bytes", values: []string{"Basic realm=" + strings.Repeat("x", 8192-12)}, want: strings.Repeat("x", 8192-12)},
		{name: "8193 bytes", values: []string{"Basic realm=" + strings.Repeat("x", 8193-12)}, err: "more than 8192 bytes"},
		{name: "8193 bytes in two values", values: []string{"Basic realm=" + path, strings.Repeat("x", 8193-12-len(path))}, err: "more than 8192 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := challengeRealm(test.values)
			if test.err == "" {
				require.NoError(t, err)
				require.Equal(t, test.want, got)
				return
			}
			require.ErrorContains(t, err, test.err)
			require.Empty(t, got)
			require.Less(t, len(err.Error()), 300)
			require.NotRegexp(t, `[^ -~]`, err.Error())
		})
	}
}

func TestReadKey(t *testing.T) {
	agentDir, mountedDir, other := t.TempDir(), t.TempDir(), t.TempDir()
	for path, content := range map[string]string{
		filepath.Join(agentDir, "a.key"):     "agent's\r\n",
		filepath.Join(mountedDir, "a.key"):   "mounted\n",
		filepath.Join(other, "a.key"):        "s3cr3t",
		filepath.Join(agentDir, "empty.key"): "\n",
		filepath.Join(agentDir, "two.key"):   "s3cr3t\ns3cr3t",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	for _, test := range []struct {
		name       string
		realm      string
		agentDir   string
		mountedDir string
		want       string
		is         error  // nil: any
		err        string // part of the error
	}{
		{name: "agent's directory", realm: filepath.Join(agentDir, "a.key"), agentDir: agentDir, want: "agent's"},
		{name: "mounted, named by the agent's path", realm: filepath.Join(agentDir, "a.key"), agentDir: agentDir, mountedDir: mountedDir, want: "mounted"},
		{name: "mounted, named by its own path", realm: filepath.Join(mountedDir, "a.key"), agentDir: agentDir, mountedDir: mountedDir, want: "mounted"},
		{name: "mounted where the agent's directory is unknown", realm: filepath.Join(mountedDir, "a.key"), mountedDir: mountedDir, want: "mounted"},
		{name: "other directory", realm: filepath.Join(other, "a.key"), agentDir: agentDir, err: "something other than the agent"},
		{name: "mounted directory not set", realm: filepath.Join(mountedDir, "a.key"), agentDir: agentDir, err: "something other than the agent"},
		{name: "other directory by dot dot", realm: agentDir + "/../" + filepath.Base(other) + "/a.key", agentDir: agentDir, err: "something other than the agent"},
		{name: "no directory known", realm: filepath.Join(agentDir, "a.key"), err: "set ArcKeyDirectory"},
		{name: "missing", realm: filepath.Join(agentDir, "b.key"), agentDir: agentDir, is: fs.ErrNotExist, err: filepath.Join(agentDir, "b.key")},
		{name: "missing where mounted", realm: filepath.Join(agentDir, "empty.key"), agentDir: agentDir, mountedDir: mountedDir, is: fs.ErrNotExist, err: filepath.Join(mountedDir, "empty.key")},
		{name: "empty", realm: filepath.Join(agentDir, "empty.key"), agentDir: agentDir, is: keyfile.ErrEmpty, err: filepath.Join(agentDir, "empty.key")},
		{name: "no key", realm: filepath.Join(agentDir, "two.key"), agentDir: agentDir, err: "does not hold a key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			header := http.Header{}
			header.Set("www-authenticate", "Basic realm="+test.realm)
			got, err := readKey(header, test.agentDir, test.mountedDir)
			if test.err == "" {
				require.NoError(t, err)
				require.Equal(t, test.want, got)
				return
			}
			require.ErrorContains(t, err, test.err)
			require.NotContains(t, err.Error(), "s3cr3t")
			require.Empty(t, got)
			for _, e := range []error{fs.ErrNotExist, keyfile.ErrEmpty} {
				require.Equal(t, e == test.is, errors.Is(err, e), "%v", e)
			}
		})
	}
	got, err := readKey(http.Header{}, agentDir, "")
	require.ErrorContains(t, err, "no WWW-Authenticate challenge")
	require.Empty(t, got)
}

func TestRemedy(t *testing.T) {
	const windowsGroup = `"Hybrid agent extension applications"`
	for _, test := range []struct {
		name     string
		goos     string
		err      error
		mounted  bool
		contains []string // none: no remedy
	}{
		{name: "Linux, permission", goos: "linux", err: fs.ErrPermission, contains: []string{"sudo usermod -aG himds <user>", "log in again"}},
		{name: "Linux, missing", goos: "linux", err: fs.ErrNotExist, contains: []string{"container", "set ArcKeyDirectory"}},
		{name: "Linux, empty", goos: "linux", err: keyfile.ErrEmpty},
		{name: "Linux, other", goos: "linux", err: errors.New("x")},
		{name: "Linux, mounted, permission", goos: "linux", err: fs.ErrPermission, mounted: true, contains: []string{`"himds"`, "numeric id"}},
		{name: "Linux, mounted, missing", goos: "linux", err: fs.ErrNotExist, mounted: true, contains: []string{"mount", "at ArcKeyDirectory"}},
		{name: "Linux, mounted, other", goos: "linux", err: errors.New("x"), mounted: true},
		{name: "Windows, permission", goos: "windows", err: fs.ErrPermission, contains: []string{windowsGroup, "sign in again", "administrator"}},
		{name: "Windows, missing", goos: "windows", err: fs.ErrNotExist, contains: []string{windowsGroup, "set ArcKeyDirectory"}},
		{name: "Windows, empty", goos: "windows", err: keyfile.ErrEmpty},
		{name: "Windows, mounted, permission", goos: "windows", err: fs.ErrPermission, mounted: true, contains: []string{windowsGroup}},
		{name: "Windows, mounted, missing", goos: "windows", err: fs.ErrNotExist, mounted: true, contains: []string{"at ArcKeyDirectory"}},
		{name: "macOS, permission", goos: "darwin", err: fs.ErrPermission},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := remedy(test.goos, fmt.Errorf("open: %w", test.err), test.mounted)
			if test.contains == nil {
				require.Empty(t, got)
			}
			for _, part := range test.contains {
				require.Contains(t, got, part)
			}
		})
	}
}

// FuzzChallengeRealm checks that a realm comes out of the header as it went in, and that nothing
// but a part of the header ever comes out.
func FuzzChallengeRealm(f *testing.F) {
	for _, seed := range []string{
		"", "Basic", "Basic realm=/var/opt/a.key", `Basic realm="C:\x\\y\"z"`, `Bearer a="b, Basic realm=c", Basic realm=d`,
		"Negotiate ab==, basic realm = x y ,z=1", "/var/opt/azcmagent/tokens/a.key", "realm=x", `"`, "=",
	} {
		f.Add(seed, "Basic realm=/a.key")
		f.Add("Digest realm=x, nonce=y", seed)
	}
	unescaped := strings.NewReplacer(`\\`, `\`, `\"`, `"`)
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	printable := func(s string) bool {
		return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if got, err := challengeRealm([]string{a, b}); err != nil {
			require.Empty(t, got)
			require.Less(t, len(err.Error()), 1000)
			require.NotRegexp(t, `[^ -~]`, err.Error())
		} else {
			require.NotEmpty(t, got)
			require.True(t, printable(got))
			require.True(t, strings.Contains(a, got) || strings.Contains(b, got) ||
				strings.Contains(unescaped.Replace(a), got) || strings.Contains(unescaped.Replace(b), got))
		}
		if a == "" || len(a) > maxChallenge/3 || !printable(a) {
			return
		}
		written := []string{`Basic realm="` + escaped.Replace(a) + `"`}
		if !strings.ContainsAny(a, `,"\`) && strings.TrimSpace(a) == a {
			written = append(written, "Basic realm="+a)
		}
		for _, w := range written {
			for _, value := range []string{w, w + ", Negotiate", `Bearer x="Basic realm=y, z", ` + w} {
				got, err := challengeRealm([]string{value})
				require.NoError(t, err)
				require.Equal(t, a, got)
			}
		}
	})
}
