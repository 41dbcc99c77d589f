// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command logs uploads a record to Azure Monitor through the Logs Ingestion API with the machine's
// managed identity.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/monitor/ingestion/azlogs"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/azure/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
)

// record is a record of a stream that declares these two columns.
type record struct {
	TimeGenerated time.Time
	Message       string
}

// upload uploads records. endpoint is the logs ingestion URL of a data collection endpoint or rule,
// and rule is the rule's immutable ID. On Azure, machine can be nil and options zero. The identity
// needs the role Monitoring Metrics Publisher on the rule.
func upload(ctx context.Context, endpoint, rule, stream string, records []record,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) error {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	client, err := azlogs.NewClient(endpoint, cred, &azlogs.ClientOptions{ClientOptions: options})
	if err != nil {
		return err
	}
	body, err := json.Marshal(records) // at most 1 MB
	if err != nil {
		return err
	}
	_, err = client.Upload(ctx, rule, stream, body, nil)
	return err
}

func main() { program.Main("logs", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("logs", flag.ContinueOnError)
	endpoint := flags.String("endpoint", "", "logs ingestion `URL`, such as https://my-endpoint-abcd.westus-1.ingest.monitor.azure.com; if empty, start a fake")
	rule := flags.String("rule", laptop.Rule, "immutable `ID` of the data collection rule")
	stream := flags.String("stream", "Custom-Examples", "`name` of a stream with the columns TimeGenerated and Message")
	if err := program.Parse(flags, out, args, "uploads a record to Azure Monitor."); err != nil {
		return err
	}
	service, err := laptop.Start(endpoint, laptop.Logs)
	if err != nil {
		return err
	}
	defer service.Close()

	records := []record{{TimeGenerated: time.Now().UTC(), Message: "hello from azhost"}}
	if err := upload(ctx, *endpoint, *rule, *stream, records, service.Machine, service.Client); err != nil {
		return err
	}
	fmt.Fprintf(out, "uploaded %d record to stream %s\n", len(records), *stream)
	return nil
}
