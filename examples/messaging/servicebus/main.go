// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command servicebus sends a message to an Azure Service Bus queue or topic.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
	"github.com/azhost/azhost/examples/messaging/internal/laptop"
)

// send sends one message. On Azure, machine and options can be nil. The client requests the token,
// sends it for each queue or topic that it opens, and replaces it before it expires.
func send(ctx context.Context, namespace, queue, body string, machine *azhost.ManagedIdentityCredentialOptions, options *azservicebus.ClientOptions) error {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	client, err := azservicebus.NewClient(namespace, cred, options)
	if err != nil {
		return err
	}
	defer client.Close(context.WithoutCancel(ctx))
	sender, err := client.NewSender(queue, nil)
	if err != nil {
		return err
	}
	return sender.SendMessage(ctx, &azservicebus.Message{Body: []byte(body)}, nil)
}

func main() { program.Main("servicebus", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("servicebus", flag.ContinueOnError)
	namespace := flags.String("namespace", "", "send to the namespace `HOST`, such as NAME.servicebus.windows.net; if empty, start a fake")
	queue := flags.String("queue", "orders", "send to the queue or topic with this `NAME`")
	if err := program.Parse(flags, out, args, "sends a message to a Service Bus queue or topic."); err != nil {
		return err
	}

	var machine *azhost.ManagedIdentityCredentialOptions
	var options *azservicebus.ClientOptions
	if *namespace == "" {
		fake, err := laptop.NewServiceBus()
		if err != nil {
			return err
		}
		defer fake.Close()
		*namespace, machine = "laptop.servicebus.windows.net", fake.Machine
		options = &azservicebus.ClientOptions{CustomEndpoint: fake.Address, TLSConfig: fake.TLS}
	}
	if err := send(ctx, *namespace, *queue, "hello", machine, options); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/%s accepted the message\n", *namespace, *queue)
	return nil
}
