// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// inPipe runs azhost with both outputs in one pipe.
func inPipe(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	cmd := azhostCommand(t.Context(), args...)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); !exited {
		require.NoError(t, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestTokenInTerminal checks that tokens aren't wrapped in a terminal, so that they can be copied.
func TestTokenInTerminal(t *testing.T) {
	noHost(t)
	vm := azhosttest.NewVM(t)
	for _, form := range formNames() {
		args := []string{"token", "vault", "--source", "IMDS", "--endpoint", vm.Endpoint(), "-o", form}
		for _, columns := range []uint16{80, 120} {
			shown, code := inTerminal(t, columns, nil, "", "", args...)
			require.Equal(t, exitOK, code, shown)
			requireGolden(t, "token-"+form, normalized(shown))
			piped, code := inPipe(t, []string{fmt.Sprintf("COLUMNS=%d", columns)}, args...)
			require.Equal(t, exitOK, code, piped)
			requireGolden(t, "token-"+form, normalized(piped))
		}
	}
}

// TestFailuresInTerminal checks that messages are wrapped to the terminal's width, and not wrapped in a
// pipe.
func TestFailuresInTerminal(t *testing.T) {
	noHost(t)
	vm := azhosttest.NewVM(t)
	vm.SetIdentities()
	host := []string{"--source", "IMDS", "--endpoint", vm.Endpoint()}
	var golden strings.Builder
	for _, test := range []struct {
		args []string
		code int
	}{
		{append([]string{"token", "vault"}, host...), exitUnavailable},
		{append([]string{"token", "vault", "--client-id", "orders"}, host...), exitFailed},
		{append([]string{"token", "vault", "-o", "google-executable"}, host...), exitOK},
		{[]string{"token", "vault", "--ouptut", "json"}, exitUsage},
		{[]string{"token", "valut"}, exitUsage},
		{[]string{"token", "vault", "-o", "yaml"}, exitUsage},
		{[]string{"fake", "appsvc"}, exitUsage},
		{[]string{"fake", "vm", "--fault", "429:soon"}, exitUsage},
		{[]string{"tokne"}, exitUsage},
	} {
		show := func(where, text string, code int) {
			require.Equal(t, test.code, code, text)
			fmt.Fprintf(&golden, "== %s\n$ azhost %s\n%s", where, normalized(strings.Join(test.args, " ")), normalized(text))
		}
		for _, columns := range []uint16{80, 120} {
			shown, code := inTerminal(t, columns, nil, "", "", test.args...)
			show(fmt.Sprintf("terminal, %d columns", columns), shown, code)
			for line := range strings.Lines(shown) {
				require.True(t, len(line) <= int(columns)+1 || strings.Contains(shown, "{"), line)
			}
		}
		piped, code := inPipe(t, nil, test.args...)
		show("pipe", piped, code)
	}
	requireGolden(t, "failures", golden.String())
}

// TestFakeInTerminal checks that the output of a fake, which shells read, isn't wrapped.
func TestFakeInTerminal(t *testing.T) {
	noHost(t)
	keys := t.TempDir()
	for _, kind := range fakeNames() {
		args := []string{"fake", kind, "--user-assigned", "reports", "--shell", "sh"}
		if kind == "arc" {
			args = append(args, "--key-directory", keys)
		}
		for _, columns := range []uint16{80, 120} {
			shown, code := inTerminal(t, columns, nil, "Requests:\r\n", "\x03", args...)
			require.Equal(t, exitInterrupted, code, shown)
			shown = strings.Replace(shown, "^C", "", 1) // the terminal's echo
			requireGolden(t, "fake-"+kind+"-idle", normalized(shown, keys))

			piped := interruptedInPipe(t, fmt.Sprintf("COLUMNS=%d", columns), args...)
			requireGolden(t, "fake-"+kind+"-idle", normalized(piped, keys))
		}
	}
	// With a command, both write to the same terminal.
	command := []string{"fake", "appservice", "-v", "--fault", "403", "--", os.Args[0], "token", "vault"}
	var golden strings.Builder
	for _, columns := range []uint16{80, 120} {
		shown, code := inTerminal(t, columns, nil, "", "", command...)
		require.Equal(t, exitFailed, code, shown)
		fmt.Fprintf(&golden, "== terminal, %d columns\n%s", columns, normalized(shown))
	}
	piped, code := inPipe(t, nil, command...)
	require.Equal(t, exitFailed, code, piped)
	fmt.Fprintf(&golden, "== pipe\n%s", normalized(piped))
	requireGolden(t, "fake-command", golden.String())
}

// interruptedInPipe runs a fake until it is ready, and interrupts it.
func interruptedInPipe(t *testing.T, env string, args ...string) string {
	t.Helper()
	cmd := azhostCommand(t.Context(), args...)
	cmd.Env = append(cmd.Env, env)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var shown strings.Builder
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		shown.WriteString(lines.Text() + "\n")
		if strings.HasSuffix(lines.Text(), "Requests:") {
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
		}
	}
	require.Error(t, cmd.Wait())
	require.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode())
	return shown.String()
}
