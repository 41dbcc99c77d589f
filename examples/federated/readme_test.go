// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/azhost/azhost/examples/internal/readme"
	"github.com/stretchr/testify/require"
)

// Each command that the README shows prints what the README says, and each flag exists.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	commands, err := readme.Commands(string(text))
	require.NoError(t, err)
	require.Len(t, commands, len(clouds))

	program := filepath.Join(t.TempDir(), "federated.exe")
	said, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", said)
	help, _ := exec.CommandContext(t.Context(), program, "-h").CombinedOutput() // fails, as flag does for -h
	for _, c := range commands {
		require.Equal(t, ".", c.Program)
		got, err := exec.CommandContext(t.Context(), program, c.Args...).CombinedOutput()
		require.NoError(t, err, "%s", got)
		require.True(t, c.Matches(string(got)), "README.md says:\n%s\nthe program prints:\n%s", c.Prints, got)
		require.NotEmpty(t, c.Flags)
		for _, flag := range c.Flags {
			require.Contains(t, string(help), "\n  "+flag+" ")
		}
	}
}
