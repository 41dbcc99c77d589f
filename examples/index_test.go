// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !windows

// Where Windows binaries are tested, there may be no go command for Windows.

package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/azhost/azhost/examples/internal/readme"
	"github.com/stretchr/testify/require"
)

func TestCommandsPrintWhatTheIndexSays(t *testing.T) {
	t.Parallel()
	require.Subset(t, readme.Run(t, ".."), []string{"./examples/quickstart", "./examples/http", "./examples/testing"})
}

func TestIndexIsComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(string(text), -1) {
		_, err := os.Stat(link[1])
		require.NoError(t, err, "a link leads nowhere")
	}
	programs, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	nested, err := filepath.Glob("*/*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, nested)
	for _, program := range append(programs, nested...) {
		require.Contains(t, string(text), "]("+filepath.ToSlash(program)+")", "the index leaves it out")
	}
}
