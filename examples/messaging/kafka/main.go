// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command kafka sends a record to an event hub with the Kafka protocol.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
	"github.com/azhost/azhost/examples/messaging/internal/laptop"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
)

// newClient returns a client that signs in each connection with a token from cred, and again when
// the server says that the sign-in is about to expire. On Azure, leave out the options.
func newClient(ctx context.Context, namespace string, cred azcore.TokenCredential, options ...kgo.Opt) (*kgo.Client, error) {
	scope := "https://" + namespace + "/.default" // only AMQP clients use https://eventhubs.azure.net/
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(namespace + ":9093"),
		kgo.DialTLS(),
		kgo.SASL(oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
			return oauth.Auth{Token: token.Token}, err
		})),
	}, options...)...)
	if err != nil {
		return nil, err
	}
	if err := client.Ping(ctx); err != nil { // producing would retry a failed sign-in until ctx is done
		client.Close()
		return nil, err
	}
	return client, nil
}

func main() { program.Main("kafka", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("kafka", flag.ContinueOnError)
	namespace := flags.String("namespace", "", "send to the namespace `HOST`, such as NAME.servicebus.windows.net; if empty, start a fake")
	hub := flags.String("hub", "telemetry", "send to the event hub with this `NAME`, which Kafka calls a topic")
	if err := program.Parse(flags, out, args, "sends a record to an event hub with the Kafka protocol."); err != nil {
		return err
	}

	var machine *azhost.ManagedIdentityCredentialOptions
	var options []kgo.Opt
	if *namespace == "" {
		*namespace = "laptop.servicebus.windows.net"
		fake, err := laptop.NewKafka(*namespace, *hub)
		if err != nil {
			return err
		}
		defer fake.Close()
		machine, options = fake.Machine, fake.Options
	}
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	client, err := newClient(ctx, *namespace, cred, options...)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: *hub, Value: []byte("hello")}).FirstErr(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/%s accepted the record\n", *namespace, *hub)
	return nil
}
