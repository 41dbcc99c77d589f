// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command grpc calls a gRPC service with a token in the metadata of each call, and prints the result
// of the service's health check.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/clients/internal/laptop"
	"github.com/azhost/azhost/examples/internal/program"
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

func main() { program.Main("grpc", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("grpc", flag.ContinueOnError)
	target := flags.String("target", "", "call the service at `ADDRESS`, such as orders.example.com:443; if empty, start a service and a fake Azure VM")
	resource := flags.String("resource", "api://orders", "request tokens for the service's App ID `URI`")
	machine := program.Machine(flags)
	if err := program.Parse(flags, out, args, "calls a gRPC service with a token, and prints the result of its health check."); err != nil {
		return err
	}
	transport := credentials.NewTLS(nil)
	if *target == "" {
		if machine.Endpoint != "" {
			return program.Usagef("-endpoint needs -target: the service in this process accepts only tokens from its fake VM")
		}
		service, err := laptop.NewGRPC(*resource)
		if err != nil {
			return err
		}
		defer service.Close()
		*target, machine, transport = service.Target, service.Machine, service.Transport
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
