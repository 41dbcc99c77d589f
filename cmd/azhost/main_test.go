// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/internal/detect"
	"github.com/stretchr/testify/require"
)

// wire is a transport that is a function.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(req *http.Request) (*http.Response, error) { return w(req) }

// nobody is a network on which nobody listens.
func nobody(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
}

// hostVariables are all the variables that detection reads.
func hostVariables() []string {
	return []string{
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET",
	}
}

// noHost makes this machine's environment that of no host.
func noHost(t *testing.T) {
	for _, name := range hostVariables() {
		t.Setenv(name, "")
	}
}

// laptop is a machine with nothing on it but this process's variables.
func laptop() facts {
	env := detect.Read()
	env.Himds, env.ProgramData = "", ""
	return facts{
		goos: "linux", env: env, himds: []string{"/opt/azcmagent/bin/himds"}, proxies: map[string]string{},
		keyDirectory: "/var/opt/azcmagent/tokens", list: list,
	}
}

// result is what a run leaves behind.
type result struct {
	code           int
	stdout, stderr string
}

// do runs azhost with no network but what transport is.
func do(ctx context.Context, transport http.RoundTripper, adjust func(*process), args ...string) result {
	var stdout, stderr bytes.Buffer
	p := process{stdout: &stdout, stderr: &stderr, transport: transport, facts: laptop}
	if adjust != nil {
		adjust(&p)
	}
	return result{run(ctx, args, p), stdout.String(), stderr.String()}
}

// varying is what differs from run to run, and what stands for it in a golden file.
var varying = []struct {
	found *regexp.Regexp
	put   string
}{
	{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`), "TOKEN"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d`), "TIME"},
	{regexp.MustCompile(`(127\.0\.0\.1|localhost):\d{4,}(/[a-z2-7]{10}\b)?`), "$1:PORT"},
	{regexp.MustCompile(`(IDENTITY_HEADER|MSI_SECRET|IDENTITY_SERVER_THUMBPRINT)='\w+'`), "$1='SECRET'"},
	{regexp.MustCompile(`(answers in|after) [\d.]+m?s`), "$1 DURATION"},
	{regexp.MustCompile(`issued \S+ from now`), "issued DURATION from now"},
	{regexp.MustCompile(`\((\d+h\d+m)\d+s\)`), "($1)"},
	{regexp.MustCompile(`"C:\\\\ProgramData\\\\AzureConnectedMachineAgent\\\\Tokens"`), `"/var/opt/azcmagent/tokens"`},
	{regexp.MustCompile(`x-ms-request-id "[^"]+"`), "x-ms-request-id ID"},
	{regexp.MustCompile(`[/\\]+[0-9a-f]{8}-[0-9a-f-]{27}\.key`), "/NAME.key"},
}

// requireGolden compares with a golden file, or writes it when AZHOST_UPDATE_GOLDEN is set.
func requireGolden(t *testing.T, name, got string, directories ...string) {
	t.Helper()
	for _, dir := range directories {
		got = strings.ReplaceAll(got, dir, "/KEYS")
		got = strings.ReplaceAll(got, strings.Trim(strconv.Quote(dir), `"`), "/KEYS")
	}
	for _, v := range varying {
		got = v.found.ReplaceAllString(got, v.put)
	}
	path := filepath.Join("testdata", name+".golden")
	if os.Getenv("AZHOST_UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), got)
}

func TestCommandLines(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   []string
		code   int
		stderr string // a part of it, or "" for none at all
	}{
		{"nothing", nil, exitUsage, "NAME\n    azhost"},
		{"help", []string{"help"}, exitOK, ""},
		{"--help", []string{"--help"}, exitOK, ""},
		{"help for a command", []string{"help", "token"}, exitOK, ""},
		{"help for no command", []string{"help", "coffee"}, exitUsage, `no manual for "coffee"`},
		{"token --help", []string{"token", "--help"}, exitOK, ""},
		{"doctor -h", []string{"doctor", "-h"}, exitOK, ""},
		{"fake --help", []string{"fake", "--help"}, exitOK, ""},
		{"fake vm --help", []string{"fake", "vm", "--help"}, exitOK, ""},
		{"version", []string{"version"}, exitOK, ""},
		{"version --help", []string{"version", "--help"}, exitOK, ""},
		{"version with an argument", []string{"version", "2"}, exitUsage, `unexpected argument "2"`},
		{"unknown command", []string{"tokne"}, exitUsage, `no command "tokne"`},
		{"unknown flag", []string{"token", "--colour"}, exitUsage, "-colour"},
		{"no resource", []string{"token"}, exitUsage, "--resource is missing"},
		{"resource that is only a suffix", []string{"token", "--resource", "/.default"}, exitUsage, "names no resource"},
		{"resource with a space", []string{"doctor", "--resource", "a b"}, exitUsage, "names no resource"},
		{"argument", []string{"token", "--resource", "r", "https://vault.azure.net"}, exitUsage, "unexpected argument"},
		{"two selectors", []string{"token", "--resource", "r", "--client-id", "c", "--object-id", "o"}, exitUsage, "only one of"},
		{"two other selectors", []string{"doctor", "--resource-id", "c", "--object-id", "o"}, exitUsage, "only one of"},
		{"no time", []string{"token", "--resource", "r", "--timeout", "0s"}, exitUsage, "not positive"},
		{"form", []string{"token", "--resource", "r", "-o", "yaml"}, exitUsage, `-o "yaml" is none of`},
		{"source", []string{"token", "--resource", "r", "--source", "Mainframe"}, exitUsage, `unknown Source "Mainframe"`},
		{"source of the doctor", []string{"doctor", "--source", "Mainframe"}, exitUsage, `unknown Source "Mainframe"`},
		{"endpoint", []string{"doctor", "--endpoint", "localhost:80"}, exitUsage, "not an http or https URL"},
		{"key directory", []string{"token", "--resource", "r", "--source", "AzureArc", "--arc-key-directory", "keys"}, exitUsage, "not an absolute path"},
		{"fake of nothing", []string{"fake"}, exitUsage, "vm, arc, appservice"},
		{"fake of a toaster", []string{"fake", "toaster"}, exitUsage, "vm, arc, appservice"},
		{"flags before the kind", []string{"fake", "--addr", "127.0.0.1:0", "vm"}, exitUsage, "unexpected argument \"vm\""},
		{"short lifetime", []string{"fake", "vm", "--lifetime", "999ms"}, exitUsage, "less than a second"},
		{"keys of a VM", []string{"fake", "vm", "--key-directory", "/x"}, exitUsage, "has no keys"},
		{"nameless identity", []string{"fake", "vm", "--user-assigned", ""}, exitUsage, "not a name"},
		{"impossible address", []string{"fake", "vm", "--addr", "127.0.0.1:99999"}, exitFailed, "99999"},
	} {
		t.Run(test.name, func(t *testing.T) {
			noHost(t)
			got := do(t.Context(), wire(nobody), nil, test.args...)
			require.Equal(t, test.code, got.code, "%s", got.stderr)
			if test.code == exitOK {
				require.Empty(t, got.stderr)
				require.NotEmpty(t, got.stdout)
				return
			}
			require.Contains(t, got.stderr, test.stderr)
			require.Empty(t, got.stdout)
			if test.code == exitUsage && len(test.args) > 0 {
				require.Regexp(t, `Run "azhost help[ a-z]*" for its use\.\n$`, got.stderr)
			}
		})
	}
}

func TestPagesFitAScreen(t *testing.T) {
	pages := map[string]string{"azhost": mainPage}
	for _, c := range commands() {
		pages["azhost "+c.name] = c.page
		require.Contains(t, mainPage, "    "+c.name+" ")
	}
	for name, page := range pages {
		lines := strings.Split(strings.TrimSuffix(page, "\n"), "\n")
		require.LessOrEqual(t, len(lines), 40, name)
		for _, line := range lines {
			require.LessOrEqual(t, len(line), 80, line)
		}
		require.True(t, strings.HasPrefix(page, "NAME\n    "+name+" - "), name)
		for _, heading := range []string{"SYNOPSIS", "DESCRIPTION", "EXIT STATUS"} {
			require.Contains(t, page, "\n"+heading+"\n", name)
		}
	}
}

func TestVersion(t *testing.T) {
	got := do(t.Context(), wire(nobody), nil, "version")
	require.Regexp(t, `^azhost \S+( [0-9a-f]+)? go1\S+.* \w+/\w+\n$`, got.stdout)
}

func TestClaimsOfWhatIsNoToken(t *testing.T) {
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

var _ http.RoundTripper = wire((&azhosttest.Host{}).Do)
