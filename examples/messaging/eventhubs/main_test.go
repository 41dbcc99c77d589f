// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs"
	"github.com/Azure/go-amqp"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/messaging/internal/laptop"
	"github.com/stretchr/testify/require"
)

const namespace = "laptop.servicebus.windows.net"

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, namespace+"/telemetry accepted the event\n", out.String())
}

func TestToken(t *testing.T) {
	t.Parallel()
	fake, options := newNamespace(t, laptop.NewEventHubs)
	require.NoError(t, send(t.Context(), namespace, "telemetry", "hello", fake.Machine, options))

	messages := fake.Messages()
	require.Len(t, messages, 1)
	var event amqp.Message // a batch is a message whose data are messages
	require.NoError(t, event.UnmarshalBinary(messages[0].GetData()))
	require.Equal(t, "hello", string(event.GetData()))
	fake.VM.RequireRequests(t, 1)
	fake.VM.RequireResource(t, "https://eventhubs.azure.net/")

	var audiences []any
	for _, claim := range fake.Claims() {
		audiences = append(audiences, claim.ApplicationProperties["name"])
	}
	require.Equal(t, []any{"amqps://" + namespace + "/telemetry"}, audiences)
}

func TestRejectedTokens(t *testing.T) {
	t.Parallel()
	t.Run("for another service", func(t *testing.T) {
		t.Parallel()
		fake, options := newNamespace(t, laptop.NewServiceBus)
		err := send(t.Context(), namespace, "telemetry", "hello", fake.Machine, options)
		var failed *azeventhubs.Error
		require.ErrorAs(t, err, &failed)
		require.Equal(t, azeventhubs.ErrorCodeUnauthorizedAccess, failed.Code)
		require.ErrorContains(t, err, "the token is for https://eventhubs.azure.net/, not https://servicebus.azure.net/")
		require.NotContains(t, err.Error(), fake.Claims()[0].Value)
		require.Empty(t, fake.Messages())
	})
	t.Run("of another machine", func(t *testing.T) {
		t.Parallel()
		fake, options := newNamespace(t, laptop.NewEventHubs)
		err := send(t.Context(), namespace, "telemetry", "hello", azhosttest.NewVM(t).Options(), options)
		var failed *azeventhubs.Error
		require.ErrorAs(t, err, &failed)
		require.Equal(t, azeventhubs.ErrorCodeUnauthorizedAccess, failed.Code)
		require.Empty(t, fake.Messages())
	})
}

func TestNoTokenNoEvent(t *testing.T) {
	t.Parallel()
	fake, options := newNamespace(t, laptop.NewEventHubs)
	fake.VM.SetIdentities()
	err := send(t.Context(), namespace, "telemetry", "hello", fake.Machine, options)
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
	require.Empty(t, fake.Claims())
	require.Empty(t, fake.Messages())
}

// newNamespace starts a namespace, and returns it with options for a client.
func newNamespace(t *testing.T, start func() (*laptop.Namespace, error)) (*laptop.Namespace, *azeventhubs.ProducerClientOptions) {
	fake, err := start()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	return fake, &azeventhubs.ProducerClientOptions{CustomEndpoint: fake.Address, TLSConfig: fake.TLS}
}
