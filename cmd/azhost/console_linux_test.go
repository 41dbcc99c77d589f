// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// openTerminal returns both ends of a new terminal.
func openTerminal(t *testing.T, columns uint16) (controller, terminal *os.File) {
	t.Helper()
	controller, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { controller.Close() })
	ioctl := func(request uintptr, argument unsafe.Pointer) {
		conn, err := controller.SyscallConn()
		require.NoError(t, err)
		require.NoError(t, conn.Control(func(fd uintptr) {
			_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument))
			require.Zero(t, errno)
		}))
	}
	var number, locked int32
	ioctl(syscall.TIOCSPTLCK, unsafe.Pointer(&locked))
	ioctl(syscall.TIOCGPTN, unsafe.Pointer(&number))
	size := struct{ rows, columns, x, y uint16 }{24, columns, 0, 0}
	ioctl(syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { terminal.Close() })
	return controller, terminal
}

// inTerminal runs azhost in a terminal, and returns what it shows and the exit status. When it has
// shown the text until, the keys are typed.
func inTerminal(t *testing.T, columns uint16, env []string, until, keys string, args ...string) (string, int) {
	t.Helper()
	controller, terminal := openTerminal(t, columns)
	cmd := azhostCommand(t.Context(), args...)
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, terminal.Close())
	var shown bytes.Buffer
	for buffer := make([]byte, 4096); ; {
		n, err := controller.Read(buffer) // fails when the last process has closed the terminal
		shown.Write(buffer[:n])
		if keys != "" && strings.Contains(shown.String(), until) {
			_, err = io.WriteString(controller, keys)
			keys = ""
		}
		if err != nil {
			break
		}
	}
	err := cmd.Wait()
	if _, exited := err.(*exec.ExitError); !exited {
		require.NoError(t, err)
	}
	return strings.ReplaceAll(shown.String(), "\r\n", "\n"), cmd.ProcessState.ExitCode()
}

// refused is an endpoint at which nothing listens.
func refused(t *testing.T) string {
	vm := azhosttest.NewVM(t)
	endpoint := vm.Endpoint()
	vm.Stop()
	return endpoint
}

var colors = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestInATerminal: width and colors come from the terminal that azhost runs in.
func TestInATerminal(t *testing.T) {
	noHost(t)
	endpoint := refused(t)
	doctor := []string{"doctor", "--source", "AppService", "--endpoint", endpoint}
	secret := []string{"IDENTITY_HEADER=x", "IDENTITY_ENDPOINT=" + endpoint}
	for _, columns := range []uint16{80, 120} {
		shown, code := inTerminal(t, columns, secret, "", "", doctor...)
		require.Equal(t, exitDown, code, shown)
		require.Contains(t, shown, "\x1b[1;31mApp Service's token endpoint isn't responding.\x1b[0m\n")
		longest := 0
		for line := range strings.Lines(colors.ReplaceAllString(shown, "")) {
			longest = max(longest, len(strings.TrimSuffix(line, "\n")))
		}
		require.LessOrEqual(t, longest, int(columns))
		require.Greater(t, longest, int(columns)-20, "the text is not wrapped to the terminal's width")

		for name, env := range map[string][]string{"no color": {"NO_COLOR=1"}, "dumb": {"TERM=dumb"}} {
			plain, _ := inTerminal(t, columns, append(env, secret...), "", "", doctor...)
			require.NotContains(t, plain, "\x1b", name)
			require.Equal(t, normalized(colors.ReplaceAllString(shown, "")), normalized(plain), name)
		}
	}

	// Errors are wrapped as well, and a page is what it is.
	shown, code := inTerminal(t, 80, nil, "", "", "token", "vault", "--source", "IMDS", "--endpoint", endpoint)
	require.Equal(t, exitUnavailable, code)
	require.Greater(t, strings.Count(shown, "\n"), 1)
	for line := range strings.Lines(shown) {
		require.LessOrEqual(t, len(line), 81)
	}
	for _, columns := range []uint16{80, 120} {
		shown, code = inTerminal(t, columns, nil, "", "", "help", "fake")
		require.Equal(t, exitOK, code)
		require.Equal(t, page("fake"), shown)
	}
}

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

// TestTokenInATerminal: a token and its forms are the same everywhere, so that they can be copied.
func TestTokenInATerminal(t *testing.T) {
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

// TestFailuresInATerminal: a message is wrapped to the terminal's width, and in a pipe it is a line.
func TestFailuresInATerminal(t *testing.T) {
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

// TestFakeInATerminal: what a fake shows is for a shell to read, so no width changes it.
func TestFakeInATerminal(t *testing.T) {
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

// TestInAPipe: lines are as long as they are, or as long as COLUMNS says.
func TestInAPipe(t *testing.T) {
	noHost(t)
	args := []string{"doctor", "--source", "AppService", "--endpoint", refused(t)}
	t.Setenv("IDENTITY_HEADER", "x")
	t.Setenv("IDENTITY_ENDPOINT", args[len(args)-1])
	longest := func(columns string) (n int) {
		cmd := azhostCommand(t.Context(), args...)
		cmd.Env = append(cmd.Env, "COLUMNS="+columns)
		out, _ := cmd.Output() // the status is that of a host that is down
		require.Equal(t, exitDown, cmd.ProcessState.ExitCode())
		require.NotContains(t, string(out), "\x1b")
		for line := range strings.Lines(string(out)) {
			n = max(n, len(strings.TrimSuffix(line, "\n")))
		}
		return n
	}
	require.Greater(t, longest(""), 130)
	require.InDelta(t, 110, longest("120"), 10)
	require.InDelta(t, 75, longest("80"), 5)
}

// TestControlC: the status and the message that a shell's user expects.
func TestControlC(t *testing.T) {
	noHost(t)
	vm := azhosttest.NewVM(t)
	vm.SetLatency(time.Minute)
	shown, code := inTerminal(t, 80, nil, "waiting for IMDS", "\x03", "token", "vault", "--source", "IMDS", "--endpoint", vm.Endpoint())
	require.Equal(t, exitInterrupted, code)
	require.True(t, strings.HasSuffix(shown, "azhost token: interrupted\n"), shown)

	shown, code = inTerminal(t, 80, nil, "Requests:", "\x03", "fake", "vm")
	require.Equal(t, exitInterrupted, code)
	require.True(t, strings.HasSuffix(shown, "# no requests\n"), shown)

	// The command gets the signal, and decides what becomes of it.
	shown, code = inTerminal(t, 80, nil, "ready", "\x03", "fake", "appservice", "--", "sh", "-c", `trap 'echo caught; exit 7' INT; echo ready; read line`)
	require.Equal(t, 7, code, shown)
	require.Equal(t, 1, strings.Count(shown, "caught"), shown)
	shown, code = inTerminal(t, 80, nil, "ready", "\x03", "fake", "appservice", "--", "sh", "-c", `echo ready; read line`)
	require.Equal(t, exitInterrupted, code, shown)
	require.Contains(t, shown, "azhost fake: no requests\n")
}
