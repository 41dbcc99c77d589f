// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azure

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every laptop command in the README prints what the README shows, and every program prints help.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	bin := t.TempDir() + string(filepath.Separator)
	modules, err := filepath.Glob("*/go.mod")
	require.NoError(t, err)
	for _, module := range append(modules, "go.mod") {
		output, err := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Dir(module), "-o", bin, "./...").CombinedOutput()
		require.NoError(t, err, "%s", output)
	}

	command := regexp.MustCompile("^`go run (?:\\./(\\w+)|-C (\\w+) \\.)( .*)?`$")
	shown := make(map[string]bool)
	for line := range strings.Lines(string(readme)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) < 6 {
			continue
		}
		match := command.FindStringSubmatch(cells[3])
		if match == nil {
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

	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	for _, main := range mains {
		program := filepath.Dir(main)
		require.True(t, shown[program], "README.md must have a command for %s", program)
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
