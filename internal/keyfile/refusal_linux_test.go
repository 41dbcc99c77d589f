// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRefusal removes access to one element of a path at a time, as an ordinary user.
func TestRefusal(t *testing.T) {
	if !ordinaryUser(t) {
		return
	}
	user, group := userName(os.Geteuid()), groupName(os.Getegid())
	for _, test := range []struct {
		name, closed string // from the test's directory
		dir          string // as Read gets it
		want         string // what denies access
	}{
		{"file", "agent/tokens/a.key", "agent/tokens", "the key file in %s/agent/tokens"},
		{"key directory", "agent/tokens", "agent/tokens", "%s/agent/tokens"},
		{"directory above", "agent", "agent/tokens", "%s/agent"},
		{"file behind a link", "agent/tokens/a.key", "link", "the key file in %s/agent/tokens"},
		{"key directory behind a link", "agent/tokens", "link", "%s/agent/tokens"},
		{"directory above, behind a link", "agent", "link", "%s/agent"},
		{"directory above a link", "links", "links/tokens", "%s/links"},
		{"directory above, behind a link in the middle", "agent", "links/agent/tokens", "%s/agent"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			in := func(path string) string { return filepath.Join(root, path) }
			require.NoError(t, os.MkdirAll(in("agent/tokens"), 0o700))
			require.NoError(t, os.Mkdir(in("links"), 0o700))
			write(t, in("agent/tokens"), "a.key", secret)
			require.NoError(t, os.Symlink("agent/tokens", in("link")))
			require.NoError(t, os.Symlink(in("agent/tokens"), in("links/tokens")))
			require.NoError(t, os.Symlink("../agent", in("links/agent")))
			_, err := Read(in(test.dir), "a.key")
			require.NoError(t, err, "nothing denies access")

			require.NoError(t, os.Chmod(in(test.closed), 0o020))
			defer func() { require.NoError(t, os.Chmod(in(test.closed), 0o700)) }() // so that it can be removed
			_, err = Read(in(test.dir), "a.key")
			require.ErrorIs(t, err, fs.ErrPermission)
			require.Regexp(t, fmt.Sprintf(`^`+test.want+` \(mode 0020, owner %s, group %s\) denies access to uid %d \(user %s, groups .*\b%s\b.*\)`,
				root, user, group, os.Geteuid(), user, group), Refusal(filepath.Join(in(test.dir), "a.key")))
		})
	}
}

func TestRefusalOfUnlistableDirectory(t *testing.T) {
	dir := t.TempDir()
	require.Regexp(t, "^"+dir+` \(mode 0[0-7]{3}, owner .+\) denies access to uid `, Refusal(dir))
}

func TestRefusalOfMissingFile(t *testing.T) {
	dir := t.TempDir()
	require.Contains(t, Refusal(filepath.Join(dir, "a.key")), "the key file in "+dir+" denies access to uid ")
}

func TestInUserNamespace(t *testing.T) {
	require.False(t, inUserNamespace("         0          0 4294967295\n"))
	require.True(t, inUserNamespace("         0       1000          1\n"))
	require.True(t, inUserNamespace("         0       1000          1\n         1     100000      65536\n"))
}

func TestNameOfUnknownID(t *testing.T) {
	require.Equal(t, "1999999990", userName(1999999990))
	require.Equal(t, "1999999990", groupName(1999999990))
}
