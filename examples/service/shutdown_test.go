// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A request that is in progress when the service stops gets its response.
func TestGracefulShutdown(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logs, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, w, []string{"-addr", "127.0.0.1:0"})
		_ = w.Close()
	}()
	address, lines := awaitReady(t, logs)

	message, rest := io.Pipe()
	begun := make(chan struct{})
	go func() {
		<-begun
		stop()
		for line := range lines {
			if strings.Contains(line, `"msg":"shutting down"`) {
				break
			}
		}
		_, _ = io.WriteString(rest, "a message")
		_ = rest.Close()
	}()
	trace := &httptrace.ClientTrace{Got100Continue: func() { close(begun) }} // the service reads the message
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", "http://"+address+"/sign", message)
	require.NoError(t, err)
	req.Header.Set("Expect", "100-continue")
	client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, signature, string(body))
	require.NoError(t, <-ended)

	_, err = client.Get("http://" + address + "/readyz")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	err = run(t.Context(), io.Discard, []string{"-addr", l.Addr().String()})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
}

// The README's commands print what it says, the program knows the flags that it names and rejects
// others, -h succeeds, and so does an end by a signal.
func TestReadme(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("README.md")
	require.NoError(t, err)
	program := filepath.Join(t.TempDir(), "service")
	said, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", said)

	help, err := exec.CommandContext(t.Context(), program, "-h").CombinedOutput()
	require.NoError(t, err, "%s", help)
	for _, arg := range []string{"-no-such-flag", "no-such-argument"} {
		said, err := exec.CommandContext(t.Context(), program, arg).CombinedOutput()
		var failed *exec.ExitError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, 2, failed.ExitCode(), "%s", said)
		require.Contains(t, string(said), arg)
	}
	logs, w := io.Pipe()
	command := exec.CommandContext(t.Context(), program, "-addr", "127.0.0.1:0")
	command.Stdout, command.Stderr = w, w
	require.NoError(t, command.Start())
	address, lines := awaitReady(t, logs)

	row := regexp.MustCompile("(?m)^\\| .* \\| `curl (?:-d '(.+)' )?http://localhost:8080(/\\w+)` \\| (.+) \\|$")
	rows := row.FindAllStringSubmatch(string(page), -1)
	require.Len(t, rows, 4)
	for _, r := range rows {
		method := "GET"
		if r[1] != "" {
			method = "POST"
		}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+r[2], strings.NewReader(r[1]))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, r[2])
		for prints := range strings.SplitSeq(r[3], "<br>") {
			pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.Trim(prints, "`")), "…", ".+")
			require.Regexp(t, "(?m)^"+pattern+"$", string(body), r[2])
		}
	}
	for _, f := range regexp.MustCompile("`service (-\\w+) ").FindAllStringSubmatch(string(page), -1) {
		require.Regexp(t, "(?m)^  "+f[1]+" ", string(help))
	}

	require.NoError(t, command.Process.Signal(syscall.SIGTERM))
	require.NoError(t, command.Wait())
	_ = w.Close()
	var last string
	for line := range lines {
		last = line
	}
	require.Contains(t, last, `"msg":"shutting down","cause":"`)
}

// awaitReady reads from the log where the service listens, and waits until it is ready. It returns the address,
// and the lines of the log that follow.
func awaitReady(t *testing.T, logs io.Reader) (address string, rest <-chan string) {
	t.Helper()
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(logs); s.Scan(); {
			lines <- s.Text()
		}
	}()
	for line := range lines {
		var said struct{ Msg, Address string }
		require.NoError(t, json.Unmarshal([]byte(line), &said), line)
		if address = said.Address; said.Msg == "listening" {
			break
		}
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(fmt.Sprintf("http://%s/readyz", address))
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return address, lines
			}
		}
		require.True(t, time.Now().Before(deadline), "the service doesn't get ready: %v", err)
	}
}
