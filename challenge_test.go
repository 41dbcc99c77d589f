// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadKeyInMountedDirectory(t *testing.T) {
	mounted, agent := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(mounted, "a.key"), []byte("key"), 0o600))
	for _, named := range []string{agent, mounted} { // the agent's own path, or the container's
		key, err := readKey(challengeFor(filepath.Join(named, "a.key")), agent, mounted)
		require.NoError(t, err)
		require.Equal(t, "key", key)
	}
	_, err := readKey(challengeFor(filepath.Join(t.TempDir(), "a.key")), agent, mounted)
	require.ErrorContains(t, err, "not in the agent's key directory")
	_, err = readKey(challengeFor(filepath.Join(agent, "b.key")), agent, mounted)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func challengeFor(path string) *http.Response {
	return &http.Response{
		StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {"Basic realm=" + path}},
		Body: http.NoBody, Request: &http.Request{},
	}
}

func TestRemedy(t *testing.T) {
	for _, test := range []struct {
		goos    string
		err     error
		mounted bool
		want    string
	}{
		{"linux", fs.ErrPermission, false, "usermod -aG himds"},
		{"linux", fs.ErrPermission, true, `group "himds"`},
		{"linux", fs.ErrNotExist, false, "set ArcKeyDirectory"},
		{"linux", fs.ErrNotExist, true, "at ArcKeyDirectory"},
		{"windows", fs.ErrPermission, false, `"Hybrid agent extension applications"`},
		{"windows", fs.ErrNotExist, false, `"Hybrid agent extension applications"`},
	} {
		require.Contains(t, remedy(test.goos, fmt.Errorf("x: %w", test.err), "/nowhere/a.key", test.mounted), test.want)
	}
	require.Empty(t, remedy("linux", fs.ErrInvalid, "/nowhere/a.key", false))
	require.Empty(t, remedy("darwin", fs.ErrPermission, "/nowhere/a.key", false))
}
