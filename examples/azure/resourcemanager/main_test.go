// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"public", "usgov", "china"} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, []string{"-cloud", name}), name)
		require.Equal(t, "resource group DevTest is in westus: Succeeded\n", out.String(), name)
	}
	var out bytes.Buffer
	require.ErrorContains(t, run(t.Context(), &out, []string{"-group", "Other"}), "ResourceNotFound")
	require.ErrorContains(t, run(t.Context(), &out, []string{"-cloud", "moon"}), "not public, usgov, or china")
	require.Empty(t, out.String())
}

func TestAudienceEndsInSlash(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		cloud    cloud.Configuration
		audience string
	}{
		{cloud.AzurePublic, "https://management.core.windows.net/"},
		{cloud.AzureGovernment, "https://management.core.usgovcloudapi.net/"},
		{cloud.AzureChina, "https://management.core.chinacloudapi.cn/"},
	} {
		t.Run(row.audience, func(t *testing.T) {
			fake, err := laptop.ResourceManager(row.cloud)
			require.NoError(t, err)
			t.Cleanup(fake.Close)
			options := fake.Client
			options.Cloud = row.cloud
			group, err := readGroup(t.Context(), laptop.Subscription, laptop.Group, fake.Machine, options)
			require.NoError(t, err)
			require.Equal(t, "westus", *group.Location)
			fake.VM.RequireResource(t, row.audience)
		})
	}
}

func TestTokenForAnotherCloud(t *testing.T) {
	t.Parallel()
	fake, err := laptop.ResourceManager(cloud.AzureChina)
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	_, err = readGroup(t.Context(), laptop.Subscription, laptop.Group, fake.Machine, fake.Client) // public
	require.ErrorContains(t, err, "InvalidAuthenticationToken")
}
