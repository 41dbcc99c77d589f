// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command appconfig reads a setting from Azure App Configuration with the machine's managed identity.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azappconfig"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// readSetting reads a setting. An empty label selects the setting without a label. On Azure, machine
// can be nil and options zero. The identity needs the role App Configuration Data Reader.
func readSetting(ctx context.Context, store, key, label string,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (string, error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return "", err
	}
	client, err := azappconfig.NewClient(store, cred, &azappconfig.ClientOptions{ClientOptions: options})
	if err != nil {
		return "", err
	}
	var selector azappconfig.GetSettingOptions
	if label != "" {
		selector.Label = &label
	}
	setting, err := client.GetSetting(ctx, key, &selector)
	if err != nil {
		return "", err
	}
	return *setting.Value, nil
}

func main() { program.Main("appconfig", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("appconfig", flag.ContinueOnError)
	store := flags.String("store", "", "`URL` of the store, such as https://my-store.azconfig.io; if empty, start a fake")
	key := flags.String("key", "greeting", "`key` of the setting")
	label := flags.String("label", "", "`label` of the setting; if empty, read the setting without a label")
	if err := program.Parse(flags, out, args, "reads a setting from Azure App Configuration."); err != nil {
		return err
	}
	service, err := laptop.Start(store, laptop.AppConfig)
	if err != nil {
		return err
	}
	defer service.Close()

	value, err := readSetting(ctx, *store, *key, *label, service.Machine, service.Client)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/kv/%s is %q\n", *store, *key, value)
	return nil
}
