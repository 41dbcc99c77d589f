// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command resourcemanager reads a resource group from Azure Resource Manager with the machine's
// managed identity.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// readGroup reads a resource group. On Azure, machine can be nil. The cloud in options determines
// the endpoint and the audience; zero options mean the public cloud. The identity needs the role
// Reader.
func readGroup(ctx context.Context, subscription, group string,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (*armresources.ResourceGroup, error) {
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

func main() { program.Main("resourcemanager", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("resourcemanager", flag.ContinueOnError)
	subscription := flags.String("subscription", "", "`ID` of the subscription; if empty, start a fake")
	group := flags.String("group", "DevTest", "`name` of the resource group")
	cloudName := flags.String("cloud", "public", "`cloud` of the subscription: public, usgov, or china")
	if err := program.Parse(flags, out, args, "reads a resource group from Azure Resource Manager."); err != nil {
		return err
	}
	configuration, ok := map[string]cloud.Configuration{
		"public": cloud.AzurePublic, "usgov": cloud.AzureGovernment, "china": cloud.AzureChina,
	}[*cloudName]
	if !ok {
		return program.Usagef("-cloud is %q, not public, usgov, or china", *cloudName)
	}
	service, err := laptop.Start(subscription, func() (*laptop.Service, error) { return laptop.ResourceManager(configuration) })
	if err != nil {
		return err
	}
	defer service.Close()

	options := service.Client
	options.Cloud = configuration
	resourceGroup, err := readGroup(ctx, *subscription, *group, service.Machine, options)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "resource group %s is in %s: %s\n", *resourceGroup.Name, *resourceGroup.Location, *resourceGroup.Properties.ProvisioningState)
	return nil
}
