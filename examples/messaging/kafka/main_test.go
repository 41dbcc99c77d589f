// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/messaging/internal/laptop"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const namespace = "laptop.servicebus.windows.net"

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, namespace+"/telemetry accepted the record\n", out.String())
}

func TestConnectionsSignInWithTheCurrentToken(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fake, cred := newKafka(t, namespace)
	client, err := newClient(ctx, namespace, cred, fake.Options...)
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Topic: "telemetry", Value: []byte("hello")}).FirstErr())
	tokens := fake.Tokens()
	require.Greater(t, len(tokens), 1, "one connection is not enough to compare tokens")
	for _, token := range tokens {
		require.True(t, token == tokens[0], "a connection did not get the cached token")
	}
	fake.VM.RequireRequests(t, 1)
	fake.VM.RequireResource(t, "https://"+namespace)

	_, err = cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://" + namespace + "/.default"}, Claims: "{}"}) // a new token
	require.NoError(t, err)
	consumer, err := newClient(ctx, namespace, cred, append(fake.Options, kgo.ConsumeTopics("telemetry"))...)
	require.NoError(t, err)
	defer consumer.Close()
	fetched := consumer.PollRecords(ctx, 1)
	require.NoError(t, fetched.Err())
	require.Len(t, fetched.Records(), 1)
	require.Equal(t, "hello", string(fetched.Records()[0].Value))
	for _, token := range fake.Tokens()[len(tokens):] {
		require.True(t, token != tokens[0], "a connection got the old token")
	}
	fake.VM.RequireRequests(t, 2)
}

func TestRejectedTokens(t *testing.T) {
	t.Parallel()
	stranger, err := azhost.NewManagedIdentityCredential(azhosttest.NewVM(t).Options())
	require.NoError(t, err)
	fake, cred := newKafka(t, namespace)
	for _, test := range []struct {
		name, namespace string
		cred            azcore.TokenCredential
	}{
		{"for another namespace", "other.servicebus.windows.net", cred},
		{"of another machine", namespace, stranger},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := newClient(ctx, test.namespace, test.cred, fake.Options...)
			require.ErrorIs(t, err, kerr.SaslAuthenticationFailed)
			for _, token := range fake.Tokens() {
				require.NotContains(t, err.Error(), token)
			}
		})
	}
}

func TestNoTokenNoSignIn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fake, cred := newKafka(t, namespace)
	fake.VM.SetIdentities()
	_, err := newClient(ctx, namespace, cred, fake.Options...)
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
	require.Empty(t, fake.Tokens())
}

// newKafka starts a namespace, and returns it with a credential that it accepts.
func newKafka(t *testing.T, namespace string) (*laptop.Kafka, azcore.TokenCredential) {
	fake, err := laptop.NewKafka(namespace, "telemetry")
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	cred, err := azhost.NewManagedIdentityCredential(fake.Machine)
	require.NoError(t, err)
	return fake, cred
}
