// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command resourcemanager reads a resource group from Azure Resource Manager.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
)

// readGroup is what to copy. A nil machine is the one that the program runs on. The cloud in the
// options decides the endpoint and the audience, whose trailing slash the client sees to.
func readGroup(ctx context.Context, subscription, group string, machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (*armresources.ResourceGroup, error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return nil, err
	}
	client, err := armresources.NewResourceGroupsClient(subscription, cred, &arm.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	resp, err := client.Get(ctx, group, nil)
	if err != nil {
		return nil, err
	}
	return &resp.ResourceGroup, nil
}

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "resourcemanager:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("resourcemanager", flag.ContinueOnError)
	subscription := flags.String("subscription", "", "ID of the subscription; empty is a fake on this machine")
	group := flags.String("group", "DevTest", "name of the resource group")
	cloudName := flags.String("cloud", "public", "public, usgov or china")
	if err := flags.Parse(args); err != nil {
		return err
	}
	configuration, ok := map[string]cloud.Configuration{
		"public": cloud.AzurePublic, "usgov": cloud.AzureGovernment, "china": cloud.AzureChina,
	}[*cloudName]
	if !ok {
		return fmt.Errorf("-cloud %q is none of public, usgov, china", *cloudName)
	}

	var machine *azhost.ManagedIdentityCredentialOptions
	var options azcore.ClientOptions
	if *subscription == "" {
		fake, err := laptop.ResourceManager(configuration)
		if err != nil {
			return err
		}
		defer fake.Close()
		*subscription, machine, options = laptop.Subscription, fake.Machine, fake.Client
	}

	options.Cloud = configuration
	resourceGroup, err := readGroup(ctx, *subscription, *group, machine, options)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "resource group %s is in %s: %s\n", *resourceGroup.Name, *resourceGroup.Location, *resourceGroup.Properties.ProvisioningState)
	return nil
}
