// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package systemd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnitIsValidAndHardened only analyzes the unit's file. Starting it takes a machine that runs
// systemd.
func TestUnitIsValidAndHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd is not installed")
	}
	text, err := os.ReadFile("azhost-token.service")
	require.NoError(t, err)
	dir := t.TempDir()
	// systemd-analyze requires the program to exist.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "azhost"), []byte("#!/bin/sh\n"), 0o755))
	unit := filepath.Join(dir, "azhost-token.service")
	require.NoError(t, os.WriteFile(unit, bytes.ReplaceAll(text, []byte("/usr/local/bin"), []byte(dir)), 0o600))
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", unit).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))

	out, err = exec.CommandContext(t.Context(), "systemd-analyze", "security", "--offline=true", "--no-pager", unit).Output()
	require.NoError(t, err)
	found := regexp.MustCompile(`Overall exposure level for \S+: ([\d.]+)`).FindSubmatch(out)
	require.NotNil(t, found, "%s", out)
	exposure, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(t, err)
	require.LessOrEqual(t, exposure, 1.5)
}
