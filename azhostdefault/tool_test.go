// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package azhostdefault_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// tools are the developer tools, as scripts on the PATH.
type tools struct{ log string }

// What a tool does.
const (
	absent   = ""
	signedIn = "token"
	refuses  = "refuse" // not signed in
	babbles  = "babble" // prints something other than a token
)

// newTools installs az, azd and pwsh, which do what the variables FAKE_AZ and the like say.
func newTools(t *testing.T) tools {
	t.Helper()
	directory := t.TempDir()
	log := filepath.Join(directory, "log")
	for name, token := range map[string]string{
		"az":   `{"accessToken":"az","expires_on":4102444800}`,
		"azd":  `{"token":"azd","expiresOn":"2100-01-01T00:00:00Z"}`,
		"pwsh": `{"Token":"pwsh","ExpiresOn":4102444800}`,
	} {
		script := "#!/bin/sh\n" +
			"case \"$FAKE_" + strings.ToUpper(name) + "\" in '') exit 127;; esac\n" +
			"echo \"" + name + " $*\" >> '" + log + "'\n" +
			"case \"$FAKE_" + strings.ToUpper(name) + "\" in\n" +
			"token) echo '" + token + "';;\n" +
			"babble) echo 'not a token';;\n" +
			"*) echo 'not signed in' >&2; exit 1;;\n" +
			"esac\n"
		require.NoError(t, os.WriteFile(filepath.Join(directory, name), []byte(script), 0o700))
	}
	t.Setenv("PATH", directory)
	return tools{log}
}

// are sets what the tools do. Tools without a state are absent.
func (tools) are(t *testing.T, states ...string) {
	t.Helper()
	for i, state := range states {
		t.Setenv([]string{"FAKE_AZ", "FAKE_AZD", "FAKE_PWSH"}[i], state)
	}
}

// ran returns the command lines since the last call.
func (s tools) ran(t *testing.T) []string {
	t.Helper()
	lines, err := os.ReadFile(s.log)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	require.NoError(t, os.Remove(s.log))
	return strings.Split(strings.TrimSpace(string(lines)), "\n")
}
