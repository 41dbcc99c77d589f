// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"path"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	unixDir    = "/var/opt/azcmagent/tokens"
	windowsDir = `C:\ProgramData\AzureConnectedMachineAgent\Tokens`
)

func TestName(t *testing.T) {
	long := "/" + strings.Repeat("d", 3001) + strings.Repeat("/d", 544) // 4090 bytes
	for _, test := range []struct {
		name    string
		windows bool
		path    string
		dirs    []string // nil: the agent's
		want    string
		err     string // part of the error
	}{
		{name: "agent's key", path: unixDir + "/a.key", want: "a.key"},
		{name: "GUID", path: unixDir + "/0f8fad5b-d9cb-469f-a165-70867728950e.key", want: "0f8fad5b-d9cb-469f-a165-70867728950e.key"},
		{name: "every kind of character", path: unixDir + "/aZ09._-.key", want: "aZ09._-.key"},
		{name: "dots inside", path: unixDir + "/a..b.key", want: "a..b.key"},
		{name: "second directory", path: "/mnt/keys/a.key", dirs: []string{unixDir, "/mnt/keys"}, want: "a.key"},
		{name: "directory with slash at end", path: "/mnt/keys/a.key", dirs: []string{"/mnt/keys/"}, want: "a.key"},
		{name: "unclean directory", path: "/mnt/keys/a.key", dirs: []string{"/mnt//x/../keys/."}, want: "a.key"},
		{name: "directory with space", path: "/mnt/my keys/a.key", dirs: []string{"/mnt/my keys"}, want: "a.key"},
		{name: "root directory", path: "/a.key", dirs: []string{"/"}, want: "a.key"},
		{name: "device name elsewhere", path: unixDir + "/nul.key", want: "nul.key"},

		{name: "empty", path: "", err: "not absolute"},
		{name: "relative", path: "a.key", err: "not absolute"},
		{name: "relative to dot", path: "./a.key", dirs: []string{".", "./"}, err: "not absolute"},
		{name: "no directory", path: unixDir + "/a.key", dirs: []string{}, err: "not in"},
		{name: "empty directory", path: "/a.key", dirs: []string{""}, err: "not in"},
		{name: "relative directory", path: "/a.key", dirs: []string{"a", "."}, err: "not in"},
		{name: "Windows path on Unix", path: windowsDir + `\a.key`, dirs: []string{windowsDir}, err: "not absolute"},
		{name: "another directory", path: "/etc/a.key", err: "not in"},
		{name: "parent directory", path: "/var/opt/azcmagent/a.key", err: "not in"},
		{name: "subdirectory", path: unixDir + "/sub/a.key", err: "not in"},
		{name: "sibling with prefix", path: unixDir + "x/a.key", err: "not in"},
		{name: "dot dot", path: unixDir + "/../../../etc/a.key", err: "not in"},
		{name: "dot dot and back", path: unixDir + "/../tokens/a.key", err: "not in"},
		{name: "dot", path: unixDir + "/./a.key", err: "not in"},
		{name: "doubled separator", path: unixDir + "//a.key", err: "not in"},
		{name: "doubled root", path: "/" + unixDir + "/a.key", err: "not in"},
		{name: "other case", path: "/var/opt/azcmagent/Tokens/a.key", err: "not in"},
		{name: "directory itself", path: unixDir, err: "not in"},
		{name: "directory and slash", path: unixDir + "/", err: "end in"},
		{name: "no suffix", path: unixDir + "/shadow", err: "end in"},
		{name: "suffix without dot", path: unixDir + "/akey", err: "end in"},
		{name: "other suffix", path: unixDir + "/a.key.bak", err: "end in"},
		{name: "upper-case suffix", path: unixDir + "/a.KEY", err: "end in"},
		{name: "slash at end", path: unixDir + "/a.key/", err: "not in"},
		{name: "dot at end", path: unixDir + "/a.key.", err: "end in"},
		{name: "space at end", path: unixDir + "/a.key ", err: "end in"},
		{name: "suffix alone", path: unixDir + "/.key", err: "begins with"},
		{name: "hidden file", path: unixDir + "/.a.key", err: "begins with"},
		{name: "dot dot and suffix", path: unixDir + "/...key", err: "begins with"},
		{name: "space inside", path: unixDir + "/a b.key", err: "character other"},
		{name: "colon", path: unixDir + "/a.key:b.key", err: "character other"},
		{name: "backslash", path: unixDir + `/..\a.key`, err: "begins with"},
		{name: "backslash inside", path: unixDir + `/a\b.key`, err: "character other"},
		{name: "quote", path: unixDir + `/a".key`, err: "character other"},
		{name: "NUL", path: unixDir + "/a.key\x00.key", err: "printable"},
		{name: "newline", path: unixDir + "/a\n.key", err: "printable"},
		{name: "escape", path: unixDir + "/\x1b[2J.key", err: "printable"},
		{name: "DEL", path: unixDir + "/\x7f.key", err: "printable"},
		{name: "not ASCII", path: unixDir + "/é.key", err: "printable"},
		{name: "not UTF-8", path: unixDir + "/\xff.key", err: "printable"},
		{name: "base of 255 bytes", path: unixDir + "/" + strings.Repeat("b", 251) + ".key", want: strings.Repeat("b", 251) + ".key"},
		{name: "base of 256 bytes", path: unixDir + "/" + strings.Repeat("b", 252) + ".key", err: "256 bytes"},
		{name: "path of 4096 bytes", path: long + "/a.key", dirs: []string{long}, want: "a.key"},
		{name: "path of 4097 bytes", path: long + "/ab.key", dirs: []string{long}, err: "4097 bytes"},

		{name: "agent's key, Windows", windows: true, path: windowsDir + `\a.key`, want: "a.key"},
		{name: "case and slashes differ, Windows", windows: true, path: `c:/programdata/AZURECONNECTEDMACHINEAGENT\tokens/Ab.key`, want: "Ab.key"},
		{name: "second directory, Windows", windows: true, path: `D:\Program Data\a.key`, dirs: []string{windowsDir, `d:\Program Data\`}, want: "a.key"},
		{name: "unclean directory, Windows", windows: true, path: `D:\keys\a.key`, dirs: []string{`D:/x\..\.\\keys`}, want: "a.key"},
		{name: "root directory, Windows", windows: true, path: `C:\a.key`, dirs: []string{`C:\`}, want: "a.key"},
		{name: "almost a device", windows: true, path: windowsDir + `\com.key`, want: "com.key"},
		{name: "almost a port", windows: true, path: windowsDir + `\com10.key`, want: "com10.key"},
		{name: "letter for a port", windows: true, path: windowsDir + `\comx.key`, want: "comx.key"},
		{name: "device in another part", windows: true, path: windowsDir + `\a.con.key`, want: "a.con.key"},

		{name: "Unix path on Windows", windows: true, path: unixDir + "/a.key", dirs: []string{unixDir}, err: "not absolute"},
		{name: "no drive", windows: true, path: windowsDir[2:] + `\a.key`, err: "not absolute"},
		{name: "drive-relative", windows: true, path: `C:a.key`, dirs: []string{"C:", `C:\`}, err: "not absolute"},
		{name: "drive-relative directory", windows: true, path: `C:\a.key`, dirs: []string{"C:", "C:x"}, err: "not in"},
		{name: "drive alone", windows: true, path: `C:`, err: "not absolute"},
		{name: "not a drive letter", windows: true, path: `1:\a.key`, dirs: []string{`1:\`}, err: "not absolute"},
		{name: "at sign for a drive", windows: true, path: `@:\a.key`, dirs: []string{`@:\`}, err: "not absolute"},
		{name: "another drive", windows: true, path: "D" + windowsDir[1:] + `\a.key`, err: "not in"},
		{name: "server", windows: true, path: `\\server\share\a.key`, dirs: []string{`\\server\share`}, err: "not absolute"},
		{name: "server with slashes", windows: true, path: `//server/share/a.key`, dirs: []string{`//server/share`}, err: "not absolute"},
		{name: "verbatim prefix", windows: true, path: `\\?\` + windowsDir + `\a.key`, dirs: []string{`\\?\` + windowsDir, windowsDir}, err: "not absolute"},
		{name: "device prefix", windows: true, path: `\\.\` + windowsDir + `\a.key`, err: "not absolute"},
		{name: "object prefix", windows: true, path: `\??\` + windowsDir + `\a.key`, err: "not absolute"},
		{name: "pipe", windows: true, path: `\\.\pipe\a.key`, err: "not absolute"},
		{name: "dot dot, Windows", windows: true, path: windowsDir + `\..\Tokens\a.key`, err: "not in"},
		{name: "dot dot with slashes, Windows", windows: true, path: windowsDir + `/../Tokens/a.key`, err: "not in"},
		{name: "subdirectory, Windows", windows: true, path: windowsDir + `\sub\a.key`, err: "not in"},
		{name: "sibling with prefix, Windows", windows: true, path: windowsDir + `x\a.key`, err: "not in"},
		{name: "directory with dot at end", windows: true, path: windowsDir + `.\a.key`, err: "not in"},
		{name: "doubled separator, Windows", windows: true, path: windowsDir + `\\a.key`, err: "not in"},
		{name: "mixed doubled separator", windows: true, path: windowsDir + `\/a.key`, err: "not in"},
		{name: "Kelvin sign is no k", windows: true, path: `C:\k\a.key`, dirs: []string{"C:\\\u212a"}, err: "not in"},
		{name: "upper-case suffix, Windows", windows: true, path: windowsDir + `\a.KEY`, err: "end in"},
		{name: "stream", windows: true, path: windowsDir + `\a.key:b.key`, err: "character other"},
		{name: "default stream", windows: true, path: windowsDir + `\a.key::$DATA`, err: "end in"},
		{name: "short name", windows: true, path: windowsDir + `\SECRET~1.key`, err: "character other"},
		{name: "CON", windows: true, path: windowsDir + `\CON.key`, err: "device"},
		{name: "prn", windows: true, path: windowsDir + `\prn.key`, err: "device"},
		{name: "Aux", windows: true, path: windowsDir + `\Aux.key`, err: "device"},
		{name: "nul with more", windows: true, path: windowsDir + `\nul.txt.key`, err: "device"},
		{name: "COM0", windows: true, path: windowsDir + `\COM0.key`, err: "device"},
		{name: "com9", windows: true, path: windowsDir + `\com9.key`, err: "device"},
		{name: "lpt1", windows: true, path: windowsDir + `\lpt1.key`, err: "device"},
		{name: "superscript port", windows: true, path: windowsDir + "\\com\u00b9.key", err: "printable"},
		{name: "CONIN$", windows: true, path: windowsDir + `\CONIN$.key`, err: "character other"},
		{name: "CONOUT$", windows: true, path: windowsDir + `\CONOUT$.key`, err: "character other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dirs := test.dirs
			if dirs == nil {
				dirs = []string{unixDir, windowsDir}
			}
			got, err := name(test.windows, test.path, dirs)
			if test.err == "" {
				require.NoError(t, err)
				require.Equal(t, test.want, got)
				return
			}
			require.ErrorContains(t, err, test.err)
			require.Empty(t, got)
			require.NotRegexp(t, `[^ -~]`, err.Error(), "the error has control characters, which could reach a terminal")
		})
	}
}

func TestNameErrorIsBounded(t *testing.T) {
	for _, test := range []struct{ name, path, quoted string }{
		{"root", "/a.key", `"/"`},
		{"200 bytes", "/" + strings.Repeat("x", 198) + "/a.key", `"/` + strings.Repeat("x", 198) + `/"`},
		{"201 bytes", "/" + strings.Repeat("x", 199) + "/a.key", `"/` + strings.Repeat("x", 199) + `"`},
		{"4096 bytes", "/" + strings.Repeat("x", 4089) + "/a.key", `"/` + strings.Repeat("x", 199) + `"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := name(false, test.path, []string{unixDir})
			require.ErrorContains(t, err, test.quoted)
		})
	}
	_, err := name(false, strings.Repeat("x", 1<<20), []string{unixDir})
	require.ErrorContains(t, err, "1048576 bytes")
	require.Less(t, len(err.Error()), 100)
}

// TestNameErrorIsStable checks that the error omits the key's name, which differs each time.
func TestNameErrorIsStable(t *testing.T) {
	for _, format := range []string{"@.key", "/etc/@.key", unixDir + "/@.txt", unixDir + "/.@.key", unixDir + "/@ .key"} {
		_, first := name(false, strings.Replace(format, "@", "a", 1), []string{unixDir})
		_, second := name(false, strings.Replace(format, "@", "b", 1), []string{unixDir})
		require.Error(t, first)
		require.EqualError(t, second, first.Error())
	}
}

func TestNameOnThisSystem(t *testing.T) {
	mine, other := unixDir+"/a.key", windowsDir+`\a.key`
	if runtime.GOOS == "windows" {
		mine, other = other, mine
	}
	got, err := Name(mine, unixDir, windowsDir)
	require.NoError(t, err)
	require.Equal(t, "a.key", got)
	_, err = Name(other, unixDir, windowsDir)
	require.Error(t, err)
	_, err = Name(mine)
	require.Error(t, err, "no directory allows nothing")
}

func TestDirectory(t *testing.T) {
	for _, test := range []struct{ name, goos, programData, want string }{
		{"Linux", "linux", "", unixDir},
		{"Linux with a stray variable", "linux", `C:\ProgramData`, unixDir},
		{"Windows", "windows", `C:\ProgramData`, windowsDir},
		{"Windows, elsewhere", "windows", `d:\Program Data`, `d:\Program Data\AzureConnectedMachineAgent\Tokens`},
		{"Windows, unclean", "windows", `C:/x/..\ProgramData\`, windowsDir},
		{"Windows, root", "windows", `C:\`, `C:\AzureConnectedMachineAgent\Tokens`},
		{"Windows, unset", "windows", "", ""},
		{"Windows, relative", "windows", "ProgramData", ""},
		{"Windows, no drive", "windows", `\ProgramData`, ""},
		{"Windows, drive-relative", "windows", `C:ProgramData`, ""},
		{"Windows, server", "windows", `\\server\share`, ""},
		{"Windows, verbatim", "windows", `\\?\C:\ProgramData`, ""},
		{"macOS", "darwin", `C:\ProgramData`, ""},
		{"another system", "freebsd", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, directory(test.goos, test.programData))
		})
	}
	require.Equal(t, directory(runtime.GOOS, `C:\ProgramData`), Directory(`C:\ProgramData`))
}

func TestGroup(t *testing.T) {
	require.Equal(t, "himds", Group("linux"))
	require.Equal(t, "Hybrid agent extension applications", Group("windows"))
	require.Empty(t, Group("darwin"))
}

// FuzzName checks that an accepted path is a directory that was allowed, one separator and a plain
// name, so that nothing is left for a file system to resolve.
func FuzzName(f *testing.F) {
	for _, seed := range []string{
		unixDir + "/a.key", unixDir + "/../a.key", unixDir + "//a.key", "/a.key", "a.key", "",
		windowsDir + `\a.key`, windowsDir + `/../a.key`, windowsDir + `\nul.key`, windowsDir + `\a.key:b.key`,
		`\\?\` + windowsDir + `\a.key`, `C:a.key`, `\\server\share\a.key`,
	} {
		f.Add(seed, unixDir, false)
		f.Add(seed, windowsDir, true)
		f.Add(seed, path.Dir(strings.ReplaceAll(seed, `\`, "/")), true)
	}
	plain := regexp.MustCompile(`^[0-9A-Za-z_-][0-9A-Za-z._-]*\.key$`)
	reserved := regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])\.`)
	f.Fuzz(func(t *testing.T, in, dir string, windows bool) {
		base, err := name(windows, in, []string{dir})
		if err != nil {
			require.Empty(t, base)
			require.Less(t, len(err.Error()), 500)
			require.NotRegexp(t, `[^ -~]`, err.Error())
			return
		}
		require.Regexp(t, plain, base)
		require.LessOrEqual(t, len(base), 255)
		require.LessOrEqual(t, len(in), 4096)
		fold := func(s string) string { return s }
		root := regexp.MustCompile(`^/`)
		if windows {
			require.NotRegexp(t, reserved, base)
			fold = func(s string) string { return strings.ReplaceAll(lower(s), `\`, "/") }
			root = regexp.MustCompile(`^[A-Za-z]:[/\\]`)
		}
		require.Regexp(t, root, in)
		require.True(t, strings.HasSuffix(in, base))
		// Nothing to resolve: cleaning what follows the root changes nothing.
		rest := "/" + fold(root.ReplaceAllString(in, ""))
		require.Equal(t, path.Clean(rest), rest)
		// Directly inside dir: whatever way dir is written, it and the name make up the path.
		require.Regexp(t, root, dir)
		joined := path.Join("/"+fold(root.ReplaceAllString(dir, "")), fold(base))
		require.Equal(t, joined, rest)
		require.Equal(t, fold(root.FindString(dir)), fold(root.FindString(in)))
		require.Equal(t, path.Clean("/"+fold(root.ReplaceAllString(dir, ""))), path.Dir(joined))
	})
}
