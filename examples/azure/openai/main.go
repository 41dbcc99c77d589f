// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command openai sends a prompt to a chat model in Azure OpenAI with the machine's managed identity,
// and prints the response as it arrives.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"
)

// chat sends a prompt to a deployment and writes the response to out. On Azure, machine and transport
// can be nil. The client requests tokens for https://cognitiveservices.azure.com. The identity needs
// the role Cognitive Services OpenAI User.
func chat(ctx context.Context, out io.Writer, endpoint, deployment, prompt string,
	machine *azhost.ManagedIdentityCredentialOptions, transport http.RoundTripper) error {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	client := openai.NewClient(
		azure.WithEndpoint(endpoint, "2024-10-21"),
		azure.WithTokenCredential(cred),
		option.WithHTTPClient(&http.Client{Transport: transport}),
	)
	stream := client.Chat.Completions.NewStreaming(ctx, openai.ChatCompletionNewParams{
		Model:    deployment, // Azure OpenAI selects models by deployment
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)},
	})
	defer stream.Close()
	for stream.Next() {
		for _, choice := range stream.Current().Choices { // the first chunk may have none
			if _, err := io.WriteString(out, choice.Delta.Content); err != nil {
				return err
			}
		}
	}
	if e, ok := errors.AsType[*openai.Error](stream.Err()); ok {
		return fmt.Errorf("%w: %s: %s", e, e.Code, e.Message) // e's own text has only the status
	}
	return stream.Err()
}

func main() { program.Main("openai", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("openai", flag.ContinueOnError)
	endpoint := flags.String("endpoint", "", "`URL` of the resource, such as https://my-resource.openai.azure.com; if empty, start a fake")
	deployment := flags.String("deployment", "gpt", "`name` of a deployment of a chat model")
	prompt := flags.String("prompt", "Say hello.", "`text` to send")
	if err := program.Parse(flags, out, args, "sends a prompt to Azure OpenAI and prints the response as it arrives."); err != nil {
		return err
	}
	service, err := laptop.Start(endpoint, laptop.OpenAI)
	if err != nil {
		return err
	}
	defer service.Close()

	if err := chat(ctx, out, *endpoint, *deployment, *prompt, service.Machine, service.Transport); err != nil {
		return err
	}
	fmt.Fprintln(out)
	return nil
}
