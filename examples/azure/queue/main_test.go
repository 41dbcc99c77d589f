// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue/queueerror"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/azure/internal/azurite"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, `https://devstoreaccount1.queue.core.windows.net/examples delivered "hello from a queue"`+"\n", out.String())

	err := run(t.Context(), &out, []string{"-queue", "other"})
	require.True(t, queueerror.HasCode(err, queueerror.QueueNotFound), "%v", err)
}

func TestMessageIsDeleted(t *testing.T) {
	t.Parallel()
	fake, err := laptop.Queue()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	for _, text := range []string{"first", "<second> & last"} {
		got, err := sendAndReceive(t.Context(), fake.URL+"/"+laptop.QueueName, text, fake.Machine, fake.Client)
		require.NoError(t, err)
		require.Equal(t, text, got)
	}
	fake.VM.RequireResource(t, "https://storage.azure.com")
}

func TestAzurite(t *testing.T) {
	t.Parallel()
	service := azurite.Start(t)
	vm := azhosttest.NewVM(t)
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	require.NoError(t, err)
	client, err := azqueue.NewQueueClient(service.Queue+"/examples", cred, &azqueue.ClientOptions{ClientOptions: service.Client})
	require.NoError(t, err)
	_, err = client.Create(t.Context(), nil)
	require.NoError(t, err)

	got, err := sendAndReceive(t.Context(), service.Queue+"/examples", "message", vm.InMemory(), service.Client)
	require.NoError(t, err)
	require.Equal(t, "message", got)
	left, err := client.GetProperties(t.Context(), nil)
	require.NoError(t, err)
	require.EqualValues(t, 0, *left.ApproximateMessagesCount)
	vm.RequireResource(t, "https://storage.azure.com")

	azurite.RequireChecks(t, func(machine *azhost.ManagedIdentityCredentialOptions) error {
		_, err := sendAndReceive(t.Context(), service.Queue+"/examples", "message", machine, service.Client)
		return err
	})
}
