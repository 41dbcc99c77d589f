// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCompletionInBash calls bash's completion functions as the tab key does.
func TestCompletionInBash(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Symlink(os.Args[0], filepath.Join(dir, "azhost")))
	script := `
		set -eu
		source <(azhost completion bash)
		press() {
			COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
			$(complete -p azhost | sed 's/.*-F \([^ ]*\).*/\1/') azhost "${@: -1}" "${@: -2:1}"
			echo "${COMPREPLY[*]}"
		}
		press azhost d
		press azhost token vault --output power
		press azhost fake ""
		press azhost token "it's nothing"`
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Env = append(os.Environ(), "AZHOST_TEST_MAIN=1", "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "doctor\npowershell\nvm arc appservice servicefabric cloudshell azureml\n\n", string(out))
}
