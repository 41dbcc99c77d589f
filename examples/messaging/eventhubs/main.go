// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command eventhubs sends an event to an event hub.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
	"github.com/azhost/azhost/examples/messaging/internal/laptop"
)

// send sends one event. On Azure, machine and options can be nil. The client requests the token,
// sends it for each event hub or partition that it opens, and replaces it before it expires.
func send(ctx context.Context, namespace, hub, body string, machine *azhost.ManagedIdentityCredentialOptions, options *azeventhubs.ProducerClientOptions) error {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	client, err := azeventhubs.NewProducerClient(namespace, hub, cred, options)
	if err != nil {
		return err
	}
	defer client.Close(context.WithoutCancel(ctx))
	batch, err := client.NewEventDataBatch(ctx, nil)
	if err != nil {
		return err
	}
	if err := batch.AddEventData(&azeventhubs.EventData{Body: []byte(body)}, nil); err != nil {
		return err
	}
	return client.SendEventDataBatch(ctx, batch, nil)
}

func main() { program.Main("eventhubs", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("eventhubs", flag.ContinueOnError)
	namespace := flags.String("namespace", "", "send to the namespace `HOST`, such as NAME.servicebus.windows.net; if empty, start a fake")
	hub := flags.String("hub", "telemetry", "send to the event hub with this `NAME`")
	if err := program.Parse(flags, out, args, "sends an event to an event hub."); err != nil {
		return err
	}

	var machine *azhost.ManagedIdentityCredentialOptions
	var options *azeventhubs.ProducerClientOptions
	if *namespace == "" {
		fake, err := laptop.NewEventHubs()
		if err != nil {
			return err
		}
		defer fake.Close()
		*namespace, machine = "laptop.servicebus.windows.net", fake.Machine
		options = &azeventhubs.ProducerClientOptions{CustomEndpoint: fake.Address, TLSConfig: fake.TLS}
	}
	if err := send(ctx, *namespace, *hub, "hello", machine, options); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/%s accepted the event\n", *namespace, *hub)
	return nil
}
