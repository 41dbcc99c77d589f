// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/azhost/azhost/internal/detect"
	"github.com/stretchr/testify/require"
)

// wire is a transport that is a function.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(req *http.Request) (*http.Response, error) { return w(req) }

// refuse is a network that refuses all connections.
func refuse(*http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
}

// noHost clears the environment of hosts and terminals.
func noHost(t *testing.T) {
	t.Helper()
	for _, name := range append(hostVariables(), "COLUMNS", "NO_COLOR", "KUBERNETES_EXEC_INFO",
		"GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE") {
		t.Setenv(name, "")
	}
	t.Setenv("TERM", "xterm")
}

// laptop returns the facts of a machine without a host, with this process's variables.
func laptop() facts {
	env := detect.Read()
	env.Himds, env.ProgramData = "", ""
	return facts{
		goos: "linux", env: env, keyDirectory: "/var/opt/azcmagent/tokens",
		proxy:    func(*http.Request) (*url.URL, error) { return nil, nil },
		readable: readable,
		agent: func(context.Context) (agentStatus, error) {
			return agentStatus{Status: "Connected", Version: "1.67"}, nil
		},
	}
}

// result is the outcome of a run.
type result struct {
	code           int
	stdout, stderr string
}

// do runs azhost in a pipe, with no network but the transport.
func do(ctx context.Context, transport http.RoundTripper, adjust func(*process), args ...string) result {
	var stdout, stderr bytes.Buffer
	p := process{in: strings.NewReader(""), out: console{Writer: &stdout}, err: console{Writer: &stderr}, transport: transport, facts: laptop}
	if adjust != nil {
		adjust(&p)
	}
	return result{run(ctx, args, p), stdout.String(), stderr.String()}
}

// settle waits, in a testing/synctest bubble, for an attempt that a run has left behind.
func settle() { time.Sleep(time.Minute) }

// TestMain runs azhost in the processes that tests start.
func TestMain(m *testing.M) {
	if os.Getenv("AZHOST_TEST_MAIN") != "" {
		main()
	}
	os.Exit(m.Run())
}

// azhostCommand returns a command that runs azhost in a separate process.
func azhostCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "AZHOST_TEST_MAIN=1")
	return cmd
}

func TestCommandLines(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   []string
		code   int
		stderr string // a part of it, or "" if it's empty
	}{
		{"no arguments", nil, exitUsage, "USAGE\n    azhost"},
		{"help", []string{"help"}, exitOK, ""},
		{"--help", []string{"--help"}, exitOK, ""},
		{"help for a command", []string{"help", "token"}, exitOK, ""},
		{"help for a topic", []string{"help", "kubectl"}, exitOK, ""},
		{"help for help", []string{"help", "azhost"}, exitOK, ""},
		{"help for an unknown topic", []string{"help", "coffee"}, exitUsage, `no help for "coffee"`},
		{"help for a misspelled topic", []string{"help", "tokens"}, exitUsage, `no help for "tokens"; did you mean "token"?`},
		{"token --help", []string{"token", "--help"}, exitOK, ""},
		{"token RESOURCE --help", []string{"token", "vault", "--help"}, exitOK, ""},
		{"doctor -h", []string{"doctor", "-h"}, exitOK, ""},
		{"fake --help", []string{"fake", "--help"}, exitOK, ""},
		{"fake vm --help", []string{"fake", "vm", "--help"}, exitOK, ""},
		{"version", []string{"version"}, exitOK, ""},
		{"--version", []string{"--version"}, exitOK, ""},
		{"version --help", []string{"version", "--help"}, exitOK, ""},
		{"version with an argument", []string{"version", "2"}, exitUsage, `unexpected argument "2"`},
		{"unknown command", []string{"tokne"}, exitUsage, `unknown command "tokne"; did you mean "token"?`},
		{"unknown command without a suggestion", []string{"coffee"}, exitUsage, "unknown command \"coffee\"\n"},
		{"unknown option first", []string{"--verison"}, exitUsage, `unknown option "--verison"`},
		{"unknown option", []string{"token", "--frobnicate"}, exitUsage, "unknown option --frobnicate\n"},
		{"misspelled option", []string{"token", "vault", "--ouptut", "json"}, exitUsage, `unknown option --ouptut; did you mean "--output"?`},
		{"option without a value", []string{"token", "vault", "--timeout"}, exitUsage, "--timeout needs a value"},
		{"switch with a value", []string{"doctor", "--json=yes"}, exitUsage, "--json takes no value"},
		{"not a duration", []string{"token", "vault", "--timeout", "soon"}, exitUsage, `--timeout "soon" isn't a duration; write a number and a unit, such as 30s or 2m`},
		{"no resource", []string{"token"}, exitUsage, "the resource is missing"},
		{"resource that is only a suffix", []string{"token", "--resource", "/.default"}, exitUsage, "isn't a resource"},
		{"resource with a space", []string{"doctor", "--resource", "a b"}, exitUsage, "isn't a resource"},
		{"misspelled resource", []string{"token", "valut"}, exitUsage, `did you mean "vault"?`},
		{"two resources", []string{"token", "vault", "arm"}, exitUsage, `unexpected argument "arm"`},
		{"resource twice", []string{"token", "vault", "--resource", "arm"}, exitUsage, "--resource already names the resource"},
		{"misspelled cloud", []string{"token", "vault", "--cloud", "chian"}, exitUsage, `--cloud "chian" isn't a cloud; use one of public, usgov, china; did you mean "china"?`},
		{"two selectors", []string{"token", "arm", "--client-id", "c", "--object-id", "o"}, exitUsage, "use only one of"},
		{"two other selectors", []string{"doctor", "--resource-id", "c", "--object-id", "o"}, exitUsage, "use only one of"},
		{"timeout of zero", []string{"token", "arm", "--timeout", "0s"}, exitUsage, "isn't positive"},
		{"misspelled format", []string{"token", "arm", "-o", "josn"}, exitUsage, `--output "josn" isn't a format; use one of token, json, header, env, powershell, cmd, exec-credential, google-executable; did you mean "json"?`},
		{"watch without a file", []string{"token", "arm", "--watch"}, exitUsage, "--watch needs --out"},
		{"unknown source", []string{"token", "arm", "--source", "Mainframe"}, exitUsage, `--source "Mainframe" isn't a host; use one of IMDS,`},
		{"misspelled source of the doctor", []string{"doctor", "--source", "AzureArk"}, exitUsage, `did you mean "AzureArc"?`},
		{"endpoint", []string{"doctor", "--endpoint", "localhost:80"}, exitUsage, "http"},
		{"relative key directory", []string{"token", "arm", "--source", "AzureArc", "--arc-key-directory", "keys"}, exitUsage, "absolute path"},
		{"fake without a kind", []string{"fake"}, exitUsage, "the kind of host is missing; use one of vm, arc, appservice"},
		{"fake with a misspelled kind", []string{"fake", "appsvc"}, exitUsage, `"appsvc" isn't a kind of host; use one of vm, arc, appservice`},
		{"fake with a command and no --", []string{"fake", "vm", "go", "test"}, exitUsage, `unexpected argument "go"; write -- before a command to run`},
		{"fake with -- and no command", []string{"fake", "vm", "--"}, exitUsage, "the command after -- is missing"},
		{"fake with a command that isn't one", []string{"fake", "appservice", "--", "azhost-no-such-command"}, exitUsage, `"azhost-no-such-command" isn't a command on this machine`},
		{"short lifetime", []string{"fake", "vm", "--lifetime", "999ms"}, exitUsage, "less than a second"},
		{"negative latency", []string{"fake", "vm", "--latency", "-1s"}, exitUsage, "is negative"},
		{"invalid throttle", []string{"fake", "vm", "--throttle", "20"}, exitUsage, `--throttle "20" isn't two numbers`},
		{"misspelled fault", []string{"fake", "vm", "--fault", "dorp"}, exitUsage, `did you mean "drop"?`},
		{"fault with an invalid status", []string{"fake", "vm", "--fault", "200"}, exitUsage, "isn't a status from 300 to 599"},
		{"fault with an invalid number", []string{"fake", "vm", "--fault", "429:soon"}, exitUsage, `--fault "429:soon" isn't WHAT:N`},
		{"fault with an invalid percentage", []string{"fake", "vm", "--fault", "429:101%"}, exitUsage, "PERCENT"},
		{"unknown shell", []string{"fake", "vm", "--shell", "csh"}, exitUsage, `--shell "csh" isn't a shell`},
		{"key directory of a VM", []string{"fake", "vm", "--key-directory", "/x"}, exitUsage, "has no keys"},
		{"identity without a name", []string{"fake", "vm", "--user-assigned", ""}, exitUsage, "isn't a name"},
		{"invalid address", []string{"fake", "vm", "--addr", "127.0.0.1:99999"}, exitFailed, "99999"},
		{"completion", []string{"completion", "fish"}, exitOK, ""},
		{"completion without a shell", []string{"completion"}, exitUsage, "the shell is missing; use one of bash"},
		{"completion for a misspelled shell", []string{"completion", "bsah"}, exitUsage, `did you mean "bash"?`},
	} {
		t.Run(test.name, func(t *testing.T) {
			noHost(t)
			got := do(t.Context(), wire(refuse), nil, test.args...)
			require.Equal(t, test.code, got.code, "%s", got.stderr)
			if test.code == exitOK {
				require.Empty(t, got.stderr)
				require.NotEmpty(t, got.stdout)
				return
			}
			require.Contains(t, got.stderr, test.stderr)
			require.Empty(t, got.stdout)
			if test.code == exitUsage && len(test.args) > 0 && test.name != "fake with a command that isn't one" {
				require.Regexp(t, `\nRun "azhost help[ a-z]*" for usage\.\n$`, got.stderr)
			}
		})
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"token", "token", 0}, {"tokne", "token", 1}, {"tken", "token", 1}, {"vualt", "vault", 1}, {"abc", "xyz", 3},
	} {
		require.Equal(t, test.want, distance(test.a, test.b), "%s %s", test.a, test.b)
	}
}

func TestVersion(t *testing.T) {
	got := do(t.Context(), wire(refuse), nil, "version")
	require.Regexp(t, `^azhost \S+( [0-9a-f]+)? go1\S+.* \w+/\w+\n$`, got.stdout)
	require.Equal(t, got, do(t.Context(), wire(refuse), nil, "--version"))
}
