// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package chassis

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadTag(t *testing.T) {
	for _, row := range []struct{ name, content, want string }{
		{"tag", azureTag + "\n", azureTag + "\n"},
		{"empty", "", ""},
		{"4 KiB", strings.Repeat("x", 4096), strings.Repeat("x", 4096)},
		{"one byte more", strings.Repeat("x", 4096) + "y", strings.Repeat("x", 4096)},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "chassis_asset_tag")
			require.NoError(t, os.WriteFile(path, []byte(row.content), 0o600))
			require.Equal(t, row.want, string(readTag(path)))
		})
	}
}

func TestReadTagFails(t *testing.T) {
	dir := t.TempDir()
	require.Nil(t, readTag(dir), "directory")
	require.Nil(t, readTag(filepath.Join(dir, "chassis_asset_tag")), "missing")
}

// The result is that of the kernel, on any machine.
func TestIsAzureVM(t *testing.T) {
	tag, _ := os.ReadFile("/sys/class/dmi/id/chassis_asset_tag")
	require.Equal(t, strings.TrimSpace(string(tag)) == "7783-7084-3265-9085-8269-3286-77", IsAzureVM())
}
