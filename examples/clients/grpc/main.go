// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command grpc calls a gRPC service with a token in the metadata of each call, and prints the result
// of the service's health check.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/clients/internal/laptop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// perRPC adds a token to the metadata of each call. Pass it to grpc.WithPerRPCCredentials.
type perRPC struct {
	cred  azcore.TokenCredential
	scope string // of the service
}

var _ credentials.PerRPCCredentials = perRPC{}

// GetRequestMetadata returns the header with the token. gRPC turns its error into Unauthenticated.
func (p perRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := p.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{p.scope}})
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token.Token}, nil
}

// RequireTransportSecurity makes gRPC refuse to send the token without TLS.
func (p perRPC) RequireTransportSecurity() bool { return true }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("grpc", flag.ExitOnError)
	target := flags.String("target", "", "call the service at `ADDRESS`, such as orders.example.com:443; default: a service and a fake Azure VM in this process")
	resource := flags.String("resource", "api://orders", "request tokens for the service's App ID `URI`")
	endpoint := flags.String("endpoint", "", "get tokens from `URL`, an endpoint that responds like IMDS, instead of this machine's; needs -target")
	_ = flags.Parse(args)
	var machine *azhost.ManagedIdentityCredentialOptions // nil is the machine that the program runs on
	transport := credentials.NewTLS(nil)
	switch {
	case *target == "" && *endpoint != "":
		return errors.New("-endpoint needs -target: the service in this process accepts only tokens from its fake VM")
	case *target == "":
		service, err := laptop.NewGRPC(*resource)
		if err != nil {
			return err
		}
		defer service.Close()
		*target, machine, transport = service.Target, service.Machine, service.Transport
	case *endpoint != "":
		machine = &azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: *endpoint}
	}

	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(*target, grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(perRPC{cred, *resource + "/.default"}))
	if err != nil {
		return err
	}
	defer conn.Close()
	reply, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the service accepted the token and is %s\n", reply.Status)
	return nil
}
