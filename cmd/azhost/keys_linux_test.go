// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// TestDoctorKeyPermissions runs azhost as a user who can't read the agent's keys.
func TestDoctorKeyPermissions(t *testing.T) {
	noHost(t)
	arc := azhosttest.NewArc(t)
	closed := filepath.Dir(arc.KeyDirectory()) // as if it were /var/opt/azcmagent
	require.NoError(t, os.Chmod(closed, 0o700))
	cmd := azhostCommand(t.Context(), "doctor", "--json", "--source", "AzureArc", "--endpoint", arc.Endpoint(), "--arc-key-directory", arc.KeyDirectory())
	if os.Getuid() == 0 {
		cmd.Path = "/proc/self/exe" // other users may not have access to the program's directory
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	} else {
		require.NoError(t, os.Chmod(arc.KeyDirectory(), 0))
		t.Cleanup(func() { require.NoError(t, os.Chmod(arc.KeyDirectory(), 0o700)) })
	}
	out, err := cmd.Output()
	require.Error(t, err)
	require.Equal(t, exitFailed, cmd.ProcessState.ExitCode(), "%s", out)
	text := normalized(string(out), arc.KeyDirectory(), closed)
	text = regexp.MustCompile(`/\S+ \(mode \d+, owner \S+, group \S+\) denies access to uid \d+ \(user .+?, groups .+?\)`).
		ReplaceAllString(text, "/KEYS (mode 0700, owner root, group root) denies access to uid 1000 (user orders, groups orders)")
	r := examined(t, result{stdout: text})
	require.Equal(t, reasonKeyUnreadable, r.Reason)
	if os.Getuid() != 0 { // the fake agent is the same user, and can't write a key either
		require.Contains(t, text, "denies access")
		return
	}
	requireForms(t, "doctor-arc-keys-unreadable", func(c console, verbose bool) { require.NoError(t, r.write(c, verbose)) })
}

func TestReadable(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, readable(dir))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.key"), nil, 0o600))
	require.NoError(t, readable(dir))
	require.ErrorIs(t, readable(filepath.Join(dir, "none")), fs.ErrNotExist)
}
