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
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
)

// newClient returns a client for Azure Resource Manager. The platform's variables lead azhost to the
// token endpoint, so only a user-assigned identity needs an option.
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

// app is the web app.
type app struct {
	client  runtime.Pipeline
	manager string // URL of Azure Resource Manager
}

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	// The health endpoint doesn't ask for a token. If it did, the platform would restart every
	// instance while the token endpoint is down, and each would lose the token that it has.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		names, err := a.subscriptions(r.Context())
		if err != nil {
			log.Print(err) // it says what to do, but not to the app's users
			http.Error(w, "Azure Resource Manager is unavailable", http.StatusBadGateway)
			return
		}
		fmt.Fprintln(w, "subscriptions:", cmp.Or(strings.Join(names, ", "), "none"))
	})
	return mux
}

// subscriptions returns the names of the first subscriptions that the identity can read.
func (a *app) subscriptions(ctx context.Context) ([]string, error) {
	req, err := runtime.NewRequest(ctx, http.MethodGet, a.manager+"/subscriptions?api-version=2022-12-01")
	if err != nil {
		return nil, err
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	if !runtime.HasStatusCode(resp, http.StatusOK) {
		return nil, runtime.NewResponseError(resp)
	}
	var page struct {
		Value []struct{ DisplayName string }
	}
	if err := runtime.UnmarshalAsJSON(resp, &page); err != nil {
		return nil, err
	}
	var names []string
	for _, s := range page.Value {
		names = append(names, s.DisplayName)
	}
	return names, nil
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
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second}
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
