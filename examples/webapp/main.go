// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command webapp is a small web app for App Service and Container Apps. It shows the subscriptions
// that its managed identity can read. README.md says what to set.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
)

// newClient returns a client for Azure Resource Manager. The platform's variables point azhost to the token
// endpoint, so only a user-assigned identity needs an option.
func newClient(transport policy.Transporter) (runtime.Pipeline, error) {
	var options azhost.ManagedIdentityCredentialOptions
	if id := os.Getenv("AZURE_CLIENT_ID"); id != "" {
		options.ID = azhost.ClientID(id)
	}
	cred, err := azhost.NewManagedIdentityCredential(&options)
	if err != nil {
		return runtime.Pipeline{}, err
	}
	return runtime.NewPipeline("webapp", "v0.1.0", runtime.PipelineOptions{
		PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(cred, []string{"https://management.azure.com//.default"}, nil)},
	}, &azcore.ClientOptions{Transport: transport}), nil
}

func main() { program.Main("webapp", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("webapp", flag.ContinueOnError)
	fake := flags.Bool("fake", false, "call both URLs with a fake App Service and Resource Manager, and exit")
	if err := program.Parse(flags, out, args, "listens on port $PORT (default 8080). AZURE_CLIENT_ID selects a user-assigned identity."); err != nil {
		return err
	}
	if *fake {
		return laptop(ctx, out)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	return serve(ctx, out)
}

// serve serves until the platform sends SIGTERM, and then finishes the requests under way.
func serve(ctx context.Context, out io.Writer) error {
	client, err := newClient(nil)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", ":"+cmp.Or(os.Getenv("PORT"), "8080"))
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "listening on", listener.Addr())
	a := &app{client: client, manager: "https://management.azure.com"}
	server := &http.Server{Handler: a.handler(), ReadTimeout: 10 * time.Second}
	done := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		done <- server.Shutdown(limited)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}
