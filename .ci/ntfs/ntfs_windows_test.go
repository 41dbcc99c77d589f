// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package ntfs has the tests that need Windows itself, because Wine has no reparse points or access control
// lists. They run on GitHub's runners, whose account can create symbolic links.
package ntfs

import (
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

const stolen = "content-that-must-not-leave-the-machine"

func token(t *testing.T, arc *azhosttest.Arc) error {
	t.Helper()
	cred, err := azhost.NewManagedIdentityCredential(arc.InMemory())
	require.NoError(t, err)
	_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net"}})
	return err
}

func run(t *testing.T, name string, arguments ...string) {
	t.Helper()
	out, err := exec.Command(name, arguments...).CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
}

func TestLinksAreRejected(t *testing.T) {
	for _, test := range []struct {
		name string
		link func(t *testing.T, path, file, dir string)
	}{
		{"symbolic link to a file", func(t *testing.T, path, file, _ string) { require.NoError(t, os.Symlink(file, path)) }},
		{"symbolic link to a directory", func(t *testing.T, path, _, dir string) { require.NoError(t, os.Symlink(dir, path)) }},
		{"junction", func(t *testing.T, path, _, dir string) { run(t, "cmd", "/c", "mklink", "/J", path, dir) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			arc := azhosttest.NewArc(t)
			require.NoError(t, token(t, arc), "without a link, the request succeeds")
			elsewhere := t.TempDir()
			file := filepath.Join(elsewhere, "secret.key")
			require.NoError(t, os.WriteFile(file, []byte(stolen), 0o600))
			path := filepath.Join(arc.KeyDirectory(), "link.key")
			test.link(t, path, file, elsewhere)
			info, err := os.Lstat(path)
			require.NoError(t, err)
			require.NotZero(t, info.Mode()&(fs.ModeSymlink|fs.ModeIrregular), "not a link")
			arc.SetChallenge(func(string) []string { return []string{"Basic realm=" + path} })
			before := arc.RequestCount()

			err = token(t, arc)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), stolen)
			for _, r := range arc.Requests()[before:] {
				require.Equal(t, http.StatusUnauthorized, r.Status)
				require.Empty(t, r.Header.Get("Authorization"), "the link's content was sent")
			}
		})
	}
}

// TestUnreadableKey denies everyone, including the owner, read access to the agent's keys.
func TestUnreadableKey(t *testing.T) {
	arc := azhosttest.NewArc(t)
	require.NoError(t, token(t, arc), "with readable keys, the request succeeds")
	const everyone = "*S-1-1-0"
	run(t, "icacls", arc.KeyDirectory(), "/deny", everyone+":(OI)(IO)(RD)")
	t.Cleanup(func() { run(t, "icacls", arc.KeyDirectory(), "/remove:d", everyone) })
	require.ErrorIs(t, token(t, arc), fs.ErrPermission)
}
