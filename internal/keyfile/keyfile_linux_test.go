// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadPermission runs itself again as an ordinary user if it is root, whom no mode keeps out.
func TestReadPermission(t *testing.T) {
	const variable = "KEYFILE_TEST_DIRECTORY"
	dir := os.Getenv(variable)
	if dir == "" {
		dir = t.TempDir()
		write(t, dir, "a.key", secret)
		require.NoError(t, os.Chmod(filepath.Join(dir, "a.key"), 0))
	}
	if os.Geteuid() != 0 {
		key, err := Read(dir, "a.key")
		require.ErrorIs(t, err, fs.ErrPermission)
		require.NotErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, filepath.Join(dir, "a.key"))
		require.Empty(t, key)
		return
	}
	for _, open := range []string{dir, filepath.Dir(dir)} { // so that the file alone is closed
		require.NoError(t, os.Chmod(open, 0o755))
	}
	// By its own path the test binary is out of an ordinary user's reach.
	again := exec.Command("/proc/self/exe", "-test.run=^TestReadPermission$", "-test.v")
	again.Env = append(os.Environ(), variable+"="+dir)
	again.Dir = "/"
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := again.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestReadPermission")
}

func TestReadClosesFiles(t *testing.T) {
	dir, names := special(t)
	write(t, dir, "empty.key", "")
	write(t, dir, "big.key", strings.Repeat("k", MaxSize+1))
	write(t, dir, "binary.key", "\x00")
	names = append(names, "empty.key", "big.key", "binary.key", "missing.key", "real.key")
	readAll := func() {
		for _, name := range names {
			_, _ = Read(dir, name)
		}
	}
	count := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(open)
	}
	readAll()                                        // the first one may leave the runtime's poller behind
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the collector would close what leaks
	before := count()
	for range 20 {
		readAll()
	}
	require.Equal(t, before, count())
}
