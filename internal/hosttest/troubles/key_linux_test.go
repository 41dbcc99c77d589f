// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// TestKeyPermissionError checks that the error names the element of the key's path that denies access, with
// its mode, owner, and group, and the user. "Run as root" doesn't help if the directory is closed, or in a
// container that runs as root.
func TestKeyPermissionError(t *testing.T) {
	if !asOrdinaryUser(t) {
		return
	}
	for _, test := range []struct {
		name   string
		closed string // of the path agent/tokens/k.key
		mode   fs.FileMode
		want   string // the element in the error
	}{
		{"the key", "agent/tokens/k.key", 0, "the key file in %s/agent/tokens (mode 0000, owner "},
		{"the key readable by its group", "agent/tokens/k.key", 0o040, "the key file in %s/agent/tokens (mode 0040, owner "},
		{"the directory", "agent/tokens", 0, "%s/agent/tokens (mode 0000, owner "},
		{"the directory that can be listed", "agent/tokens", 0o400, "%s/agent/tokens (mode 0400, owner "},
		{"the directory above", "agent", 0o070, "%s/agent (mode 0070, owner "},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			dir := filepath.Join(root, "agent", "tokens")
			require.NoError(t, os.MkdirAll(dir, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "k.key"), []byte("key"), 0o600))
			closed := filepath.Join(root, test.closed)
			require.NoError(t, os.Chmod(closed, test.mode))
			defer func() { require.NoError(t, os.Chmod(closed, 0o700)) }() // so that it can be removed

			w := always(answer(401, "", "WWW-Authenticate: Basic realm="+filepath.Join(dir, "k.key")))
			cred, err := azhost.NewManagedIdentityCredential(arcOptions(w, dir))
			require.NoError(t, err)
			_, err = token(t.Context(), cred)
			requireFailed(t, err)
			require.ErrorIs(t, err, fs.ErrPermission)
			require.ErrorContains(t, err, fmt.Sprintf(test.want, root))
			require.ErrorContains(t, err, fmt.Sprintf(" denies access to uid %d (user ", os.Geteuid()))
			require.ErrorContains(t, err, `"himds"`)
			require.NotContains(t, err.Error(), "k.key", "a name that is different each time")
			require.Equal(t, 1, w.Requests())
		})
	}
}

// TestArcKeyUnreadable runs itself again as an ordinary user if it runs as root, which file modes don't
// restrict.
func TestArcKeyUnreadable(t *testing.T) {
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
	for _, open := range []string{dir, filepath.Dir(dir)} { // so that only the file denies access
		require.NoError(t, os.Chmod(open, 0o755))
	}
	// An ordinary user can't reach the test binary by its path.
	again := exec.Command("/proc/self/exe", "-test.run=^TestArcKeyUnreadable$", "-test.v")
	again.Env = append(os.Environ(), variable+"="+dir)
	again.Dir = "/"
	again.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := again.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestArcKeyUnreadable")
}
