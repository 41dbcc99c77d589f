// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !windows

// The tests for Windows can run on a machine without a go command for Windows.

package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/azhost/azhost/examples/internal/readme"
	"github.com/stretchr/testify/require"
)

func index(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(text)
}

func TestCommandsPrintWhatIndexShows(t *testing.T) {
	t.Chdir("..")
	programs := readme.Run(t, "examples/README.md", "")
	require.Equal(t, []string{"./examples/quickstart", "./examples/http", "./examples/webapp"}, programs)
}

// The commands of other modules run in those modules' tests, so their README files must show the same.
func TestIndexMatchesOtherModules(t *testing.T) {
	t.Parallel()
	rows := regexp.MustCompile("(?m)^\\| .* \\| `cd examples/(\\w+) && (go run [^`]+)` (\\| .* \\|) [^|]*\\|$").FindAllStringSubmatch(index(t), -1)
	require.Len(t, rows, strings.Count(index(t), "`cd "))
	for _, row := range rows {
		other, err := os.ReadFile(filepath.Join(row[1], "README.md"))
		require.NoError(t, err)
		require.Contains(t, string(other), "| Task | Program | Role of the identity | On a laptop | Output | On Azure |\n")
		cells := "`" + row[2] + "` " + row[3]
		require.True(t, strings.Contains(string(other), cells), "%s/README.md doesn't show %s", row[1], cells)
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("*/README.md")
	require.NoError(t, err)
	for _, page := range append(pages, "README.md", "MIGRATION.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
			_, err := os.Stat(filepath.Join(filepath.Dir(page), link[1]))
			require.NoError(t, err, "broken link in %s", page)
		}
		anchors := make(map[string]bool)
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(text), -1) {
			anchors["#"+strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-")] = true
		}
		for _, link := range regexp.MustCompile(`\]\((#[^)]+)\)`).FindAllStringSubmatch(string(text), -1) {
			require.True(t, anchors[link[1]], "broken link in %s: %s", page, link[1])
		}
	}
}

// The images build with the version of Go that go.mod requires.
func TestDockerfilesMatchGoMod(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	require.NotNil(t, version)
	files, err := filepath.Glob("*/Dockerfile")
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(text), "\nFROM golang:"+string(version[1])+" AS build\n", file)
	}
}

func TestIndexIsComplete(t *testing.T) {
	t.Parallel()
	text := index(t)
	programs, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	nested, err := filepath.Glob("*/*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, nested)
	for _, program := range append(programs, nested...) {
		require.True(t, strings.Contains(text, "]("+filepath.ToSlash(program)+")"), "the index doesn't list %s", program)
	}
	pages, err := filepath.Glob("*/README.md")
	require.NoError(t, err)
	for _, page := range pages {
		require.True(t, strings.Contains(text, "]("+filepath.ToSlash(page)+")"), "the index doesn't list %s", page)
	}
	header := "| Task | Program | On a laptop | Output | On Azure |\n"
	require.Equal(t, strings.Count(text, header), strings.Count(text, "\n| --- "), "the tables have the same columns")
}
