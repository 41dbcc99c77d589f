// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package azhost_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// attacksHere are attacks with files and paths that Windows does not have.
func attacksHere(t *testing.T, dir, outside string) []attack {
	for name, target := range map[string]string{
		"link.key": outside, "inside.key": "good.key", "zero.key": "/dev/zero", "environ.key": "/proc/self/environ",
		"linked": filepath.Dir(outside), "folder-link.key": filepath.Dir(outside),
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "fifo.key"), 0o600))
	in := func(name string) func(string) attack {
		return func(want string) attack { return attack{name, challenging(filepath.Join(dir, name)), want} }
	}
	return []attack{
		in("link.key")("is a link"),
		in("inside.key")("is a link"),
		in("zero.key")("is a link"),
		in("environ.key")("is a link"),
		in("folder-link.key")("is a link"),
		in("linked/shadow.key")("not in the agent's key directory"),
		in("fifo.key")("not a regular file"),
		{"a device", challenging("/dev/zero"), "not in the agent's key directory"},
		{"a Windows path", challenging(`C:\ProgramData\AzureConnectedMachineAgent\Tokens\a.key`), "not absolute"},
		{"a doubled root", challenging("/" + filepath.Join(dir, "good.key")), "not in the agent's key directory"},
		{"a dot", challenging(dir + "/./good.key"), "not in the agent's key directory"},
	}
}

// openFiles is the number of file descriptors of this process.
func openFiles(t *testing.T) int {
	open, err := os.ReadDir("/dev/fd")
	require.NoError(t, err)
	return len(open)
}
