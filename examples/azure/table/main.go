// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command table writes an entity to Azure Table Storage with the machine's managed identity, and
// reads it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// writeAndRead writes an entity and reads it. On Azure, machine can be nil and options zero. The
// identity needs the role Storage Table Data Contributor.
func writeAndRead(ctx context.Context, table string, entity aztables.EDMEntity,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (read aztables.EDMEntity, err error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return read, err
	}
	client, err := aztables.NewClient(table, cred, &aztables.ClientOptions{ClientOptions: options})
	if err != nil {
		return read, err
	}
	body, err := json.Marshal(entity)
	if err != nil {
		return read, err
	}
	if _, err := client.UpsertEntity(ctx, body, nil); err != nil {
		return read, err
	}
	resp, err := client.GetEntity(ctx, entity.PartitionKey, entity.RowKey, nil)
	if err != nil {
		return read, err
	}
	return read, json.Unmarshal(resp.Value, &read)
}

func main() { program.Main("table", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("table", flag.ContinueOnError)
	account := flags.String("account", "", "`URL` of the account, such as https://myaccount.table.core.windows.net; if empty, start a fake")
	table := flags.String("table", "examples", "`name` of an existing table")
	if err := program.Parse(flags, out, args, "writes an entity to Azure Table Storage, and reads it."); err != nil {
		return err
	}
	service, err := laptop.Start(account, laptop.Table)
	if err != nil {
		return err
	}
	defer service.Close()

	greeting := aztables.EDMEntity{
		Entity:     aztables.Entity{PartitionKey: "greetings", RowKey: "1"},
		Properties: map[string]any{"Text": "hello from a table"},
	}
	read, err := writeAndRead(ctx, *account+"/"+*table, greeting, service.Machine, service.Client)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/%s(PartitionKey='%s',RowKey='%s') is %q\n", *account, *table, read.PartitionKey, read.RowKey, read.Properties["Text"])
	return nil
}
