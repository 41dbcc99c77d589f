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
	for _, row := range []struct {
		args []string
		want string
	}{
		{nil, `https://laptop.azconfig.io/kv/greeting is "hello from App Configuration"` + "\n"},
		{[]string{"-label", "test"}, `https://laptop.azconfig.io/kv/greeting is "hello from a test"` + "\n"},
	} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, row.args))
		require.Equal(t, row.want, out.String())
	}
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), &out, []string{"-key", "other"}), "404")
	require.Empty(t, out.String())
}

func TestAudienceIsStore(t *testing.T) {
	t.Parallel()
	fake, err := laptop.AppConfig()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	value, err := readSetting(t.Context(), fake.URL, "greeting", "", fake.Machine, fake.Client)
	require.NoError(t, err)
	require.Equal(t, "hello from App Configuration", value)
	fake.VM.RequireResource(t, "https://laptop.azconfig.io")
}

func TestTokenFromAnotherVM(t *testing.T) {
	t.Parallel()
	fake, err := laptop.AppConfig()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	_, err = readSetting(t.Context(), fake.URL, "greeting", "", azhosttest.NewVM(t).InMemory(), fake.Client)
	require.ErrorContains(t, err, "401")
}
