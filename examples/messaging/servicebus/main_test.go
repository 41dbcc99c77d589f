// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
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
	require.Equal(t, namespace+"/orders accepted the message\n", out.String())
}

func TestToken(t *testing.T) {
	t.Parallel()
	fake, options := newNamespace(t, laptop.NewServiceBus)
	require.NoError(t, send(t.Context(), namespace, "orders", "hello", fake.Machine, options))

	messages := fake.Messages()
	require.Len(t, messages, 1)
	require.Equal(t, "hello", string(messages[0].GetData()))
	fake.VM.RequireRequests(t, 1)
	fake.VM.RequireResource(t, "https://servicebus.azure.net/")

	var audiences []any
	for _, claim := range fake.Claims() {
		audiences = append(audiences, claim.ApplicationProperties["name"])
	}
	require.Equal(t, []any{"amqps://" + namespace + "/orders", "amqps://" + namespace + "/orders/$management"}, audiences)
}

func TestRejectedTokens(t *testing.T) {
	t.Parallel()
	t.Run("for another service", func(t *testing.T) {
		t.Parallel()
		fake, options := newNamespace(t, laptop.NewEventHubs)
		err := send(t.Context(), namespace, "orders", "hello", fake.Machine, options)
		var failed *azservicebus.Error
		require.ErrorAs(t, err, &failed)
		require.Equal(t, azservicebus.CodeUnauthorizedAccess, failed.Code)
		require.ErrorContains(t, err, "the token is for https://servicebus.azure.net/, not https://eventhubs.azure.net/")
		require.NotContains(t, err.Error(), fake.Claims()[0].Value)
		require.Empty(t, fake.Messages())
	})
	t.Run("of another machine", func(t *testing.T) {
		t.Parallel()
		fake, options := newNamespace(t, laptop.NewServiceBus)
		err := send(t.Context(), namespace, "orders", "hello", azhosttest.NewVM(t).Options(), options)
		var failed *azservicebus.Error
		require.ErrorAs(t, err, &failed)
		require.Equal(t, azservicebus.CodeUnauthorizedAccess, failed.Code)
		require.Empty(t, fake.Messages())
	})
}

func TestNoTokenNoMessage(t *testing.T) {
	t.Parallel()
	fake, options := newNamespace(t, laptop.NewServiceBus)
	fake.VM.SetIdentities()
	err := send(t.Context(), namespace, "orders", "hello", fake.Machine, options)
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
	require.Empty(t, fake.Claims())
	require.Empty(t, fake.Messages())
}

// newNamespace starts a namespace, and returns it with options for a client.
func newNamespace(t *testing.T, start func() (*laptop.Namespace, error)) (*laptop.Namespace, *azservicebus.ClientOptions) {
	fake, err := start()
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	return fake, &azservicebus.ClientOptions{CustomEndpoint: fake.Address, TLSConfig: fake.TLS}
}
