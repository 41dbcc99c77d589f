// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
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

// leader is the first process of the terminal's session. It outlives azhost and prints its exit status,
// because Linux discards the terminal's pending output when the leader ends.
const leader = `trap : INT; "$@"; echo "exit status $?"; read -r line`

var exitStatus = regexp.MustCompile(`exit status (\d+)\r\n$`)

// inTerminal runs azhost in a terminal and returns its output and exit status. It types keys once the
// output contains until.
func inTerminal(t *testing.T, columns uint16, env []string, until, keys string, args ...string) (string, int) {
	t.Helper()
	controller, terminal := openTerminal(t, columns)
	azhost := azhostCommand(t.Context(), args...)
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", leader, "sh"}, azhost.Args...)...)
	cmd.Env = append(azhost.Env, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	require.NoError(t, terminal.Close())
	var shown bytes.Buffer
	for buffer := make([]byte, 4096); !exitStatus.Match(shown.Bytes()); {
		n, err := controller.Read(buffer)
		shown.Write(buffer[:n])
		require.NoError(t, err, shown.String())
		if keys != "" && strings.Contains(shown.String(), until) {
			_, err = io.WriteString(controller, keys)
			require.NoError(t, err)
			keys = ""
		}
	}
	_, err := io.WriteString(controller, "\n")
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	status := exitStatus.FindSubmatchIndex(shown.Bytes())
	code, err := strconv.Atoi(string(shown.Bytes()[status[2]:status[3]]))
	require.NoError(t, err)
	return strings.ReplaceAll(string(shown.Bytes()[:status[0]]), "\r\n", "\n"), code
}

// refused returns an endpoint without a listener.
func refused(t *testing.T) string {
	vm := azhosttest.NewVM(t)
	endpoint := vm.Endpoint()
	vm.Stop()
	return endpoint
}

var colors = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestTerminal checks that width and colors depend on the terminal.
func TestTerminal(t *testing.T) {
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

	// Errors are wrapped as well. Help pages aren't.
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

// TestPipe checks that lines aren't wrapped in a pipe, unless COLUMNS is set.
func TestPipe(t *testing.T) {
	noHost(t)
	args := []string{"doctor", "--source", "AppService", "--endpoint", refused(t)}
	t.Setenv("IDENTITY_HEADER", "x")
	t.Setenv("IDENTITY_ENDPOINT", args[len(args)-1])
	longest := func(columns string) (n int) {
		cmd := azhostCommand(t.Context(), args...)
		cmd.Env = append(cmd.Env, "COLUMNS="+columns)
		out, _ := cmd.Output() // fails, because the host is down
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

// TestControlC checks the exit status and the message after Ctrl+C.
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

	// The command gets the signal and handles it.
	shown, code = inTerminal(t, 80, nil, "ready", "\x03", "fake", "appservice", "--", "sh", "-c", `trap 'echo caught; exit 7' INT; echo ready; read line`)
	require.Equal(t, 7, code, shown)
	require.Equal(t, 1, strings.Count(shown, "caught"), shown)
	shown, code = inTerminal(t, 80, nil, "ready", "\x03", "fake", "appservice", "--", "sh", "-c", `echo ready; read line`)
	require.Equal(t, exitInterrupted, code, shown)
	require.Contains(t, shown, "azhost fake: no requests\n")
}
