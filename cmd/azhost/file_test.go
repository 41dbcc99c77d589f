// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestTokenFile(t *testing.T) {
	noHost(t)
	vm := azhosttest.NewVM(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o644))
	got := do(t.Context(), wire(vm.Do), nil, "token", "vault", "--source", "IMDS", "--out", file)
	require.Equal(t, result{}, got)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	claims, err := vm.Verify(string(content)) // no line end
	require.NoError(t, err)
	require.Equal(t, vault, claims["aud"])
	if runtime.GOOS != "windows" {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "a temporary file was left behind")

	got = do(t.Context(), wire(vm.Do), nil, "token", "vault", "--source", "IMDS", "--out", filepath.Join(dir, "none", "token"))
	require.Equal(t, exitFailed, got.code)
	require.ErrorIs(t, writeFile(filepath.Join(dir, "none", "token"), ""), fs.ErrNotExist)
}

// TestTokenWatch runs for two days, during which the host is down for a while.
func TestTokenWatch(t *testing.T) {
	noHost(t)
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		file := filepath.Join(t.TempDir(), "token")
		read := func() string {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			claims, err := vm.Verify(string(content))
			require.NoError(t, err)
			return claims["uti"].(string)
		}
		ctx, stop := context.WithCancelCause(t.Context())
		ended := make(chan result, 1)
		go func() {
			ended <- do(ctx, wire(vm.Do), nil, "token", "vault", "--source", "IMDS", "--out", file, "--watch")
		}()
		time.Sleep(time.Minute)
		first := read()
		vm.FailUntil(time.Now().Add(14*time.Hour), azhosttest.Fault{Status: 400, Body: `{"error":"fake","error_description":"x"}`})
		time.Sleep(13 * time.Hour)
		require.Equal(t, first, read(), "a failure must leave the file as it is")
		time.Sleep(35 * time.Hour)
		require.NotEqual(t, first, read())
		stop(interrupted{syscall.SIGTERM})
		got := <-ended
		require.Equal(t, exitOK, got.code, "SIGTERM ends a service successfully")
		require.Empty(t, got.stdout)
		require.NotContains(t, got.stderr, "eyJ")
		require.Greater(t, strings.Count(got.stderr, "azhost token: wrote "), 2, got.stderr)
	})
}

func TestTokenWatchNeedsFirstToken(t *testing.T) {
	noHost(t)
	file := filepath.Join(t.TempDir(), "token")
	got := do(t.Context(), wire(refuse), nil, "token", "vault", "--out", file, "--watch")
	require.Equal(t, exitUnavailable, got.code)
	require.NoFileExists(t, file)
}

// TestTokenWatchWriteFails checks that the command ends, so that a service manager restarts it.
func TestTokenWatchWriteFails(t *testing.T) {
	noHost(t)
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		dir := filepath.Join(t.TempDir(), "run")
		require.NoError(t, os.Mkdir(dir, 0o700))
		time.AfterFunc(time.Minute, func() { require.NoError(t, os.RemoveAll(dir)) })
		start := time.Now()
		got := do(t.Context(), wire(vm.Do), nil, "token", "vault", "--source", "IMDS", "--out", filepath.Join(dir, "token"), "--watch")
		require.Equal(t, exitFailed, got.code)
		require.Greater(t, time.Since(start), time.Hour, "the first renewal")
		require.Contains(t, got.stderr, "azhost token: wrote ")
		require.Regexp(t, `\nazhost token: open .+\n$`, got.stderr)
	})
}
