// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestComplete(t *testing.T) {
	for _, test := range []struct {
		words string // the last one is completed
		want  []string
	}{
		{"", []string{"help", "token", "doctor", "fake", "completion", "version", "--version"}},
		{"t", []string{"token"}},
		{"help ku", []string{"kubectl"}},
		{"token va", []string{"vault"}},
		{"token vault -", []string{"--arc-key-directory", "--client-id", "--cloud", "--endpoint", "--fresh", "-o", "--object-id", "--out", "--output", "--resource", "--resource-id", "--source", "--timeout", "--watch", "--help"}},
		{"token vault --out", []string{"--out", "--output"}},
		{"token vault -o p", []string{"powershell"}},
		{"token vault --output exec", []string{"exec-credential"}},
		{"token --cloud ", []string{"public", "usgov", "china"}},
		{"doctor --source Azure", []string{"AzureArc", "AzureML"}},
		{"doctor --json st", []string{"storage"}},
		{"doctor --timeout ", nil},
		{"fake a", []string{"arc", "appservice", "azureml"}},
		{"fake vm --shell ", []string{"sh", "powershell", "cmd"}},
		{"fake vm --fault u", []string{"updating"}},
		{"fake vm -- ", nil},
		{"completion z", []string{"zsh"}},
		{"version ", nil},
		{"coffee ", nil},
	} {
		got := do(t.Context(), nil, nil, append([]string{completeCommand}, strings.Split(test.words, " ")...)...)
		require.Equal(t, exitOK, got.code)
		require.Equal(t, test.want, append([]string(nil), strings.Fields(got.stdout)...), test.words)
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range shells() {
		got := do(t.Context(), nil, nil, "completion", shell)
		require.Equal(t, exitOK, got.code)
		require.Contains(t, got.stdout, completeCommand)
		require.Contains(t, got.stdout, "azhost completion "+shell, "the script doesn't say how to load it")
	}
}
