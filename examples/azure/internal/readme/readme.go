// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package readme tests the commands in the README of the examples.
package readme

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// command matches a command on a laptop: "go run ./PROGRAM" or "go run -C PROGRAM .", and flags.
var command = regexp.MustCompile("^`go run (?:\\./(\\w+)|-C (\\w+) \\.)( .*)?`$")

// Test builds the programs of the module in the current directory, and runs them. It requires that
// the table in file shows a command for each, that the commands print what the table shows, and that
// every program prints help for -h.
func Test(t *testing.T, file string, programs ...string) {
	readme, err := os.ReadFile(file)
	require.NoError(t, err)
	bin := t.TempDir() + string(filepath.Separator)
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./...").CombinedOutput()
	require.NoError(t, err, "%s", output)

	shown := make(map[string]bool)
	for line := range strings.Lines(string(readme)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) < 6 {
			continue
		}
		match := command.FindStringSubmatch(cells[3])
		if match == nil || !slices.Contains(programs, match[1]+match[2]) {
			continue
		}
		program, args := match[1]+match[2], strings.Fields(match[3])
		prints := strings.Split(strings.Trim(cells[4], "`"), "`<br>`")
		want := strings.ReplaceAll(regexp.QuoteMeta(strings.Join(prints, "\n")), "…", `\S+`)
		shown[program] = true
		t.Run(cells[3], func(t *testing.T) {
			t.Parallel()
			got, err := exec.CommandContext(t.Context(), bin+program, args...).CombinedOutput()
			require.NoError(t, err, "%s", got)
			require.Regexp(t, `\A`+want+`\n\z`, string(got))
		})
	}
	for _, program := range programs {
		require.True(t, shown[program], "%s must have a command for %s", file, program)
		t.Run(program+" -h", func(t *testing.T) {
			t.Parallel()
			help := exec.CommandContext(t.Context(), bin+program, "-h")
			var stdout, stderr bytes.Buffer
			help.Stdout, help.Stderr = &stdout, &stderr
			require.NoError(t, help.Run(), "%s", &stderr)
			require.Regexp(t, `\A`+program+` [a-z].*\.\n\nFlags:\n  -`, stdout.String())
			require.Empty(t, stderr.String())
		})
	}
}
