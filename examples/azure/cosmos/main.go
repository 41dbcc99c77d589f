// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command cosmos writes an item to Azure Cosmos DB for NoSQL with the machine's managed identity, and
// reads it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// item is an item of a container whose partition key is /id.
type item struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// writeAndRead writes an item and reads it. On Azure, machine can be nil and options zero. The
// identity needs Cosmos DB's own role Cosmos DB Built-in Data Contributor; an Azure role isn't enough.
func writeAndRead(ctx context.Context, account, database, container string, in item,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (out item, err error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return out, err
	}
	client, err := azcosmos.NewClient(account, cred, &azcosmos.ClientOptions{ClientOptions: options})
	if err != nil {
		return out, err
	}
	items, err := client.NewContainer(database, container)
	if err != nil {
		return out, err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	partition := azcosmos.NewPartitionKeyString(in.ID)
	if _, err := items.UpsertItem(ctx, partition, body, nil); err != nil {
		return out, err
	}
	resp, err := items.ReadItem(ctx, partition, in.ID, nil)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(resp.Value, &out)
}

func main() { program.Main("cosmos", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("cosmos", flag.ContinueOnError)
	account := flags.String("account", "", "`URL` of the account, such as https://myaccount.documents.azure.com; if empty, start a fake")
	database := flags.String("database", "examples", "`name` of an existing database")
	container := flags.String("container", "greetings", "`name` of an existing container whose partition key is /id")
	if err := program.Parse(flags, out, args, "writes an item to Azure Cosmos DB, and reads it."); err != nil {
		return err
	}
	service, err := laptop.Start(account, laptop.Cosmos)
	if err != nil {
		return err
	}
	defer service.Close()

	read, err := writeAndRead(ctx, *account, *database, *container, item{"greeting", "hello from Cosmos DB"}, service.Machine, service.Client)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s/dbs/%s/colls/%s/docs/%s is %q\n", *account, *database, *container, read.ID, read.Text)
	return nil
}
