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

func TestReadPermission(t *testing.T) {
	if !ordinaryUser(t) {
		return
	}
	dir := t.TempDir()
	write(t, dir, "a.key", secret)
	require.NoError(t, os.Chmod(filepath.Join(dir, "a.key"), 0))
	key, err := Read(dir, "a.key")
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, dir+": open the key file: permission denied")
	require.Empty(t, key)
}

// ordinaryUser reports whether the test runs as an ordinary user. If it runs as root, which file modes
// don't restrict, it runs the test again as an ordinary user.
func ordinaryUser(t *testing.T) bool {
	if os.Geteuid() != 0 {
		return true
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	// An ordinary user can't reach the test binary by its path.
	again := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), "TMPDIR="+dir)
	again.Dir = "/"
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := again.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
	return false
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
	readAll()                                        // the first call may start the runtime's poller
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // garbage collection would close leaked files
	before := count()
	for range 20 {
		readAll()
	}
	require.Equal(t, before, count())
}
