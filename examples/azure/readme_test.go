// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azure

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/azhost/azhost/examples/azure/internal/readme"
	"github.com/stretchr/testify/require"
)

func TestReadme(t *testing.T) {
	t.Parallel()
	var programs []string
	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	modules, err := filepath.Glob("*/go.mod")
	require.NoError(t, err)
	for _, main := range mains {
		program := filepath.Dir(main)
		if !slices.Contains(modules, filepath.Join(program, "go.mod")) { // a nested module tests its own commands
			programs = append(programs, program)
		}
	}
	require.NotEmpty(t, programs)
	readme.Test(t, "README.md", programs...)
}
