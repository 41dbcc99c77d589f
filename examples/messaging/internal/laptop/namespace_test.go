// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/go-amqp"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

const host = "laptop.servicebus.windows.net"

func TestTokenPerEntity(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n, session := dial(ctx, t)
	attach := func() error {
		_, err := session.NewSender(ctx, "orders", nil)
		return err
	}
	unauthorized := func(err error) {
		var refused *amqp.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, amqp.ErrCondUnauthorizedAccess, refused.Condition)
	}
	cred, err := azhost.NewManagedIdentityCredential(n.Machine)
	require.NoError(t, err)
	token := func(scope string) string {
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		require.NoError(t, err)
		return token.Token
	}
	good := token("https://servicebus.azure.net//.default")
	sender, err := session.NewSender(ctx, "$cbs", nil)
	require.NoError(t, err)
	receiver, err := session.NewReceiver(ctx, "$cbs", nil)
	require.NoError(t, err)

	unauthorized(attach())
	for _, test := range []struct {
		name, operation, kind, token, audience string
		want                                   int32
	}{
		{"another operation", "delete-token", "jwt", good, "amqps://" + host + "/orders", 401},
		{"shared access signature", "put-token", "servicebus.windows.net:sastoken", good, "amqps://" + host + "/orders", 401},
		{"not a token", "put-token", "jwt", good[1:], "amqps://" + host + "/orders", 401},
		{"token for another service", "put-token", "jwt", token("https://servicebus.azure.net/.default"), "amqps://" + host + "/orders", 401},
		{"another queue", "put-token", "jwt", good, "amqps://" + host + "/bills", 202},
		{"another namespace", "put-token", "jwt", good, "amqps://other.servicebus.windows.net/orders", 202},
	} {
		require.NoError(t, sender.Send(ctx, &amqp.Message{
			Properties:            &amqp.MessageProperties{MessageID: test.name},
			ApplicationProperties: map[string]any{"operation": test.operation, "type": test.kind, "name": test.audience},
			Value:                 test.token,
		}, nil))
		answer, err := receiver.Receive(ctx, nil)
		require.NoError(t, err)
		require.Equal(t, test.name, answer.Properties.CorrelationID)
		require.Equal(t, test.want, answer.ApplicationProperties["status-code"], test.name)
		unauthorized(attach())
	}

	require.NoError(t, sender.Send(ctx, &amqp.Message{
		Properties:            &amqp.MessageProperties{MessageID: "good"},
		ApplicationProperties: map[string]any{"operation": "put-token", "type": "jwt", "name": "amqps://" + host + "/orders"},
		Value:                 good,
	}, nil))
	answer, err := receiver.Receive(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, int32(202), answer.ApplicationProperties["status-code"])
	require.NoError(t, attach())
	require.Len(t, n.Claims(), 7)
	require.Empty(t, n.Messages())
}

func TestCloseEndsConnections(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	n, session := dial(ctx, t)
	n.Close()
	_, err := session.NewSender(ctx, "$cbs", nil)
	var ended *amqp.ConnError
	require.ErrorAs(t, err, &ended)
}

func TestOtherProtocolsEndTheConnection(t *testing.T) {
	t.Parallel()
	n, err := NewServiceBus()
	require.NoError(t, err)
	t.Cleanup(n.Close)
	for _, hello := range []string{
		"GET / HTTP/1.1\r\n\r\n",
		"AMQP\x00\x00\x09\x01",                                 // AMQP 0.9.1
		"AMQP\x00\x01\x00\x00",                                 // no SASL
		"AMQP\x03\x01\x00\x00\x00\x00\x00\x04\x02\x01\x00\x00", // a frame smaller than its header
	} {
		c, err := tls.Dial("tcp", n.Address, n.TLS)
		require.NoError(t, err)
		_, err = io.WriteString(c, hello)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, c) // returns when the namespace ends the connection
		require.NoError(t, c.Close())
	}
}

func TestMalformedFrames(t *testing.T) {
	for _, test := range []struct{ name, frame string }{
		{"smaller than its header", "\x00\x00\x00\x07\x02\x00\x00\x00"},
		{"larger than allowed", "\x7f\x00\x00\x00\x02\x00\x00\x00"},
		{"data offset before the header's end", "\x00\x00\x00\x09\x01\x00\x00\x00\x40"},
		{"data offset after the frame", "\x00\x00\x00\x09\x03\x00\x00\x00\x40"},
		{"no performative", "\x00\x00\x00\x09\x02\x00\x00\x00\x40"},
		{"unknown type", "\x00\x00\x00\x09\x02\x00\x00\x00\x10"},
		{"descriptor alone", "\x00\x00\x00\x0b\x02\x00\x00\x00\x00\x53\x10"},
		{"no list", "\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x10\x40"},
		{"list longer than the frame", "\x00\x00\x00\x0e\x02\x00\x00\x00\x00\x53\x10\xc0\x09\x01"},
		{"field longer than its list", "\x00\x00\x00\x10\x02\x00\x00\x00\x00\x53\x10\xc0\x03\x01\xa1\x05"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := readFrame(bytes.NewReader([]byte(test.frame)))
			require.ErrorIs(t, err, errFrame)
		})
	}
}

// dial starts a Service Bus namespace and opens a session in it.
func dial(ctx context.Context, t *testing.T) (*Namespace, *amqp.Session) {
	n, err := NewServiceBus()
	require.NoError(t, err)
	t.Cleanup(n.Close)
	client, err := amqp.Dial(ctx, "amqps://"+n.Address, &amqp.ConnOptions{HostName: host, TLSConfig: n.TLS, SASLType: amqp.SASLTypeAnonymous()})
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	session, err := client.NewSession(ctx, nil)
	require.NoError(t, err)
	return n, session
}
