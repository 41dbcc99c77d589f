// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/azure/internal/azurite"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/stretchr/testify/require"
)

// number is an entity whose value JSON alone would not preserve.
var number = aztables.EDMEntity{
	Entity:     aztables.Entity{PartitionKey: "numbers", RowKey: "large"},
	Properties: map[string]any{"Value": aztables.EDMInt64(1<<62 + 1)},
}

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, `https://devstoreaccount1.table.core.windows.net/examples(PartitionKey='greetings',RowKey='1') is "hello from a table"`+"\n", out.String())

	require.ErrorContains(t, run(t.Context(), &out, []string{"-table", "other"}), string(aztables.TableNotFound))
}

func TestPropertiesKeepTheirTypes(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Table()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	read, err := writeAndRead(t.Context(), fake.URL+"/"+laptop.TableName, number, fake.Machine, fake.Client)
	require.NoError(t, err)
	require.Equal(t, number.Properties, read.Properties)
	fake.VM.RequireResource(t, "https://storage.azure.com")
}

func TestAzurite(t *testing.T) {
	t.Parallel()
	service := azurite.Start(t)
	vm := azhosttest.NewVM(t)
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	require.NoError(t, err)
	client, err := aztables.NewClient(service.Table+"/examples", cred, &aztables.ClientOptions{ClientOptions: service.Client})
	require.NoError(t, err)
	_, err = client.CreateTable(t.Context(), nil)
	require.NoError(t, err)

	read, err := writeAndRead(t.Context(), service.Table+"/examples", number, vm.InMemory(), service.Client)
	require.NoError(t, err)
	require.Equal(t, number.Properties, read.Properties)
	vm.RequireResource(t, "https://storage.azure.com")

	azurite.RequireChecks(t, func(machine *azhost.ManagedIdentityCredentialOptions) error {
		_, err := writeAndRead(t.Context(), service.Table+"/examples", number, machine, service.Client)
		return err
	})
}
