// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command registry lists the tags of a repository in Azure Container Registry with the machine's
// managed identity.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/containers/azcontainerregistry"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// listTags returns the tags of a repository. On Azure, machine can be nil and options zero. The client
// exchanges the identity's token for the registry's own tokens. The identity needs the role AcrPull.
func listTags(ctx context.Context, registry, repository string,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (tags []string, err error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return nil, err
	}
	client, err := azcontainerregistry.NewClient(registry, cred, &azcontainerregistry.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	for pager := client.NewListTagsPager(repository, nil); pager.More(); {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, tag := range page.Tags {
			tags = append(tags, *tag.Name)
		}
	}
	return tags, nil
}

func main() { program.Main("registry", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("registry", flag.ContinueOnError)
	registry := flags.String("registry", "", "`URL` of the registry, such as https://myregistry.azurecr.io; if empty, start a fake")
	repository := flags.String("repository", "samples/hello", "`name` of the repository")
	if err := program.Parse(flags, out, args, "lists the tags of a repository in Azure Container Registry."); err != nil {
		return err
	}
	service, err := laptop.Start(registry, laptop.Registry)
	if err != nil {
		return err
	}
	defer service.Close()

	tags, err := listTags(ctx, *registry, *repository, service.Machine, service.Client)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		fmt.Fprintf(out, "%s:%s\n", *repository, tag)
	}
	return nil
}
