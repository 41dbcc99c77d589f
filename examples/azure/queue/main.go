// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command queue sends a message to Azure Queue Storage with the machine's managed identity, then
// receives and deletes the message at the front of the queue.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azqueue"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// sendAndReceive sends a message, and returns and deletes the message at the front of the queue. On
// Azure, machine can be nil and options zero. The identity needs the role Storage Queue Data
// Contributor.
func sendAndReceive(ctx context.Context, queue, text string,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (string, error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return "", err
	}
	client, err := azqueue.NewQueueClient(queue, cred, &azqueue.ClientOptions{ClientOptions: options})
	if err != nil {
		return "", err
	}
	if _, err := client.EnqueueMessage(ctx, text, nil); err != nil {
		return "", err
	}
	resp, err := client.DequeueMessage(ctx, nil) // hides the message from other receivers for 30 seconds
	if err != nil {
		return "", err
	}
	if len(resp.Messages) == 0 {
		return "", errors.New("the queue is empty; another program received the message")
	}
	message := resp.Messages[0]
	if _, err := client.DeleteMessage(ctx, *message.MessageID, *message.PopReceipt, nil); err != nil {
		return "", err
	}
	return *message.MessageText, nil
}

func main() { program.Main("queue", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("queue", flag.ContinueOnError)
	account := flags.String("account", "", "`URL` of the account, such as https://myaccount.queue.core.windows.net; if empty, start a fake")
	queue := flags.String("queue", "examples", "`name` of an existing queue")
	if err := program.Parse(flags, out, args, "sends a message to Azure Queue Storage, then receives and deletes the next message."); err != nil {
		return err
	}
	service, err := laptop.Start(account, laptop.Queue)
	if err != nil {
		return err
	}
	defer service.Close()

	text, err := sendAndReceive(ctx, *account+"/"+*queue, "hello from a queue", service.Machine, service.Client)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/%s delivered %q\n", *account, *queue, text)
	return nil
}
