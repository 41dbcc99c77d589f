// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	app := laptop.App()
	for _, row := range []struct {
		name string
		args []string
	}{
		{"client ID", []string{"-client-id", app.ClientID}},
		{"object ID", []string{"-object-id", app.ObjectID}},
		{"resource ID", []string{"-resource-id", app.ResourceID}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			require.NoError(t, run(t.Context(), &out, row.args))
			require.Equal(t, "https://laptop.vault.azure.net/secrets/greeting is \"hello from Key Vault\"\n", out.String())
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, want string
		args       []string
	}{
		{"identity without access", "Forbidden", []string{"-client-id", azhosttest.SystemAssigned().ClientID}},
		{"unassigned identity", "Identity not found", []string{"-client-id", azhosttest.UserAssigned("other").ClientID}},
		{"two identities", "set exactly one of", []string{"-client-id", "a", "-object-id", "b"}},
		{"no identity", "set exactly one of", nil},
		{"no identity on Azure", "set exactly one of", []string{"-vault", "https://v.vault.azure.net"}},
		{"empty", "empty", []string{"-client-id", ""}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			require.ErrorContains(t, run(t.Context(), &out, row.args), row.want)
			require.Empty(t, out.String())
		})
	}
}
