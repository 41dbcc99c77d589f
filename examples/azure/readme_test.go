// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azure

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every command on a laptop that the README's table has prints what the table says.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+string(filepath.Separator), "./...")
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)

	shown := make(map[string]bool)
	for line := range strings.Lines(string(readme)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) < 5 {
			continue
		}
		command, ok := strings.CutPrefix(strings.Trim(cells[len(cells)-3], "`"), "go run ./")
		if !ok {
			continue
		}
		prints := strings.Split(strings.Trim(cells[len(cells)-2], "`"), "`<br>`")
		program, args, _ := strings.Cut(command, " ")
		shown[program] = true
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			got, err := exec.CommandContext(t.Context(), filepath.Join(bin, program), strings.Fields(args)...).CombinedOutput()
			require.NoError(t, err, "%s", got)
			require.Equal(t, strings.Join(prints, "\n")+"\n", string(got))
		})
	}

	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	require.Len(t, shown, len(mains), "the table must show every program")
}
