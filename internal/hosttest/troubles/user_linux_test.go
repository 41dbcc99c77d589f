// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// asOrdinaryUser reports whether the test runs as an ordinary user. If it runs as root, which file modes
// don't restrict, it runs the test again as an ordinary user.
func asOrdinaryUser(t *testing.T) bool {
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
