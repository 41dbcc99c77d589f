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

// asOrdinaryUser runs the test again as an ordinary user if this one is root, whom no file's mode
// keeps out, and reports whether this is the run that counts.
func asOrdinaryUser(t *testing.T) bool {
	if os.Geteuid() != 0 {
		return true
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	// By its own path the test binary is out of an ordinary user's reach.
	again := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), "TMPDIR="+dir)
	again.Dir = "/"
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := again.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
	return false
}
