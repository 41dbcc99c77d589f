// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, "uploaded 1 record to stream Custom-Examples\n", out.String())

	require.ErrorContains(t, run(t.Context(), &out, []string{"-rule", "dcr-other"}), "RuleNotFound")
	require.ErrorContains(t, run(t.Context(), &out, []string{"-stream", "Custom-Other"}), "InvalidStream")
}

func TestAudienceEndsInSlash(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Logs()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	records := []record{{time.Now(), "first"}, {time.Now(), "second"}}
	require.NoError(t, upload(t.Context(), fake.URL, laptop.Rule, "Custom-Examples", records, fake.Machine, fake.Client))
	fake.VM.RequireResource(t, "https://monitor.azure.com/")

	err = upload(t.Context(), fake.URL, laptop.Rule, "Custom-Examples", []record{{Message: "without a time"}}, fake.Machine, fake.Client)
	require.ErrorContains(t, err, "InvalidPayload", "the fake checks records")
}

func TestTokenFromAnotherVM(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Logs()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	err = upload(t.Context(), fake.URL, laptop.Rule, "Custom-Examples", nil, azhosttest.NewVM(t).InMemory(), fake.Client)
	require.ErrorContains(t, err, "InvalidToken")
}
