// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// TestArcKeyIsUnreadable runs itself again as an ordinary user if it is root, whom no mode keeps out.
func TestArcKeyIsUnreadable(t *testing.T) {
	const variable = "AZHOST_TEST_KEY_DIRECTORY"
	dir := os.Getenv(variable)
	if dir == "" {
		dir = t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "k.key"), []byte("key"), 0))
	}
	if os.Geteuid() != 0 {
		w := always(answer(401, "", "WWW-Authenticate: Basic realm="+filepath.Join(dir, "k.key")))
		cred, err := azhost.NewManagedIdentityCredential(arcOptions(w, dir))
		require.NoError(t, err)
		_, err = token(t.Context(), cred)
		requireFailed(t, err)
		require.ErrorIs(t, err, fs.ErrPermission)
		require.ErrorContains(t, err, `"himds"`)
		require.Equal(t, 1, w.Requests())
		return
	}
	for _, open := range []string{dir, filepath.Dir(dir)} { // so that the file alone is closed
		require.NoError(t, os.Chmod(open, 0o755))
	}
	// By its own path the test binary is out of an ordinary user's reach.
	again := exec.Command("/proc/self/exe", "-test.run=^TestArcKeyIsUnreadable$", "-test.v")
	again.Env = append(os.Environ(), variable+"="+dir)
	again.Dir = "/"
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := again.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestArcKeyIsUnreadable")
}
