// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "real.key", secret)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	for _, test := range []struct{ name, target string }{
		{"relative.key", "real.key"},
		{"absolute.key", filepath.Join(dir, "real.key")},
		{"folder.key", filepath.Join(dir, "folder")},
		{"dangling.key", "nothing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.Symlink(test.target, filepath.Join(dir, test.name)); err != nil {
				t.Skip("this account may not create links: ", err)
			}
			key, err := Read(dir, test.name)
			require.ErrorContains(t, err, "is not a regular file")
			require.NotContains(t, err.Error(), secret)
			require.Empty(t, key)
		})
	}
}

// TestReadKeyInUse: the agent may still have the file open, and may delete it meanwhile.
func TestReadKeyInUse(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "a.key"))
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString("key")
	require.NoError(t, err)
	key, err := Read(dir, "a.key")
	require.NoError(t, err)
	require.Equal(t, "key", key)
}
