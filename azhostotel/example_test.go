// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostotel_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhostotel"
	"github.com/azhost/azhost/azhosttest"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// A program with an exporter passes its MeterProvider, or nil for the global one. This one reads its
// metrics itself, and gets its token from a fake.
func Example() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	reader := sdk.NewManualReader()

	metrics, err := azhostotel.New(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		log.Fatal(err)
	}
	options := vm.InMemory()
	options.Observe = metrics.Observe
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := metrics.Register(cred); err != nil {
		log.Fatal(err)
	}

	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for name, points := range collect(reader) {
		if name == "azhost.token.remaining" {
			fmt.Println(points)
		}
	}
	// Output: azhost.resource=https://vault.azure.net azhost.source=IMDS: more than 23 h
}

// Without a MeterProvider, the metrics go to the global one.
func ExampleNew() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	reader := sdk.NewManualReader()
	otel.SetMeterProvider(sdk.NewMeterProvider(sdk.WithReader(reader))) // most programs do this first

	metrics, err := azhostotel.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := metrics.Register(cred); err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	fmt.Println(err, collect(reader)["azhost.token.remaining"])
	// Output: <nil> azhost.resource=https://vault.azure.net azhost.source=IMDS: more than 23 h
}

// Observe is called on its own goroutine, after the callers have been released. A program with another
// observer calls both.
func ExampleMetrics_Observe() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.SetIdentities() // the machine has none
	reader := sdk.NewManualReader()
	metrics, err := azhostotel.New(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		log.Fatal(err)
	}

	observed := make(chan azhost.Event, 1)
	options := vm.InMemory()
	options.Observe = func(e azhost.Event) {
		metrics.Observe(e)
		observed <- e
	}
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	e := <-observed
	fmt.Println(err != nil, e.Resource, e.Attempts)
	fmt.Println(collect(reader)["azhost.token.requests"])
	// Output:
	// true https://vault.azure.net 1
	// azhost.background=false azhost.outcome=unavailable azhost.source=IMDS error.type=400: 1
}

// A program with credentials for several identities distinguishes their tokens by an attribute.
func ExampleMetrics_Register() {
	metrics, err := azhostotel.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	for name, id := range map[string]azhost.ClientID{
		"reports": "00000000-0000-0000-0000-000000000001",
		"orders":  "00000000-0000-0000-0000-000000000002",
	} {
		cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
			ID:      id,
			Observe: metrics.Observe,
		})
		if err != nil {
			log.Fatal(err)
		}
		registration, err := metrics.Register(cred, attribute.String("identity", name))
		if err != nil {
			log.Fatal(err)
		}
		defer func() { _ = registration.Unregister() }()
	}
	// Output:
}

// collect returns a line for each metric that has one series.
func collect(reader *sdk.ManualReader) map[string]string {
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		log.Fatal(err)
	}
	lines := map[string]string{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					lines[m.Name] = fmt.Sprintf("%s: %d", text(p.Attributes), p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					if p.Value > (23 * time.Hour).Seconds() {
						lines[m.Name] = text(p.Attributes) + ": more than 23 h"
					}
				}
			}
		}
	}
	return lines
}

func text(s attribute.Set) string {
	line := ""
	for i, a := range s.ToSlice() {
		if i > 0 {
			line += " "
		}
		line += string(a.Key) + "=" + a.Value.String()
	}
	return line
}
