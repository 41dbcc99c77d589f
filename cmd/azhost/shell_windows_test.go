// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// TestCmdForm checks that cmd.exe sets the variables that azhost prints. It runs them as a script, because
// Wine's cmd.exe can't run them one by one, as the help page does.
func TestCmdForm(t *testing.T) {
	noHost(t)
	host := azhosttest.NewAppService(t)
	host.Setenv(t)
	got := do(t.Context(), nil, nil, "token", "vault", "-o", "cmd")
	require.Equal(t, exitOK, got.code, got.stderr)
	shown := runScript(t, got.stdout+"echo %AZURE_ACCESS_TOKEN% %AZURE_ACCESS_TOKEN_EXPIRES_ON%\n")
	require.Len(t, shown, 2)
	_, err := host.Verify(shown[0])
	require.NoError(t, err)
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`, shown[1])
}

// runScript runs a script in cmd.exe and returns the words of its output.
func runScript(t *testing.T, text string) []string {
	t.Helper()
	script := filepath.Join(t.TempDir(), "script.bat")
	require.NoError(t, os.WriteFile(script, []byte(strings.ReplaceAll("@echo off\n"+text, "\n", "\r\n")), 0o600))
	out, err := exec.CommandContext(t.Context(), "cmd.exe", "/c", script).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.Fields(string(out))
}

// TestCmdIntroduction runs the output of "azhost fake --shell cmd" as a script.
func TestCmdIntroduction(t *testing.T) {
	noHost(t)
	host := azhosttest.NewAppService(t)
	text := fakeKinds()[2].introduction(host, []azhosttest.Identity{azhosttest.SystemAssigned()}, "cmd")
	shown := runScript(t, text+"echo %IDENTITY_ENDPOINT% %IDENTITY_HEADER%\n")
	require.Equal(t, []string{host.Endpoint(), host.Environment()["IDENTITY_HEADER"]}, shown)
}
