// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command grpc calls a gRPC service with a token in every call's metadata, and prints what the
// service's health check says.
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

// perRPC adds a token to the metadata of every call.
type perRPC struct {
	cred  azcore.TokenCredential
	scope string // of the service that is called
}

var _ credentials.PerRPCCredentials = perRPC{}

// GetRequestMetadata returns the header with the token. gRPC makes an error of it Unauthenticated.
func (p perRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := p.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{p.scope}})
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token.Token}, nil
}

// RequireTransportSecurity makes gRPC refuse to send a token in the clear.
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
	target := flags.String("target", "", "`address` of the service, such as orders.example.com:443; empty: one in this process, with a fake Azure VM")
	resource := flags.String("resource", "api://orders", "App ID `URI` of the service, which the token is for")
	endpoint := flags.String("endpoint", "", "`URL` of a token endpoint like that of IMDS, instead of this machine's own; takes a -target")
	_ = flags.Parse(args)
	options, transport := &azhost.ManagedIdentityCredentialOptions{}, credentials.NewTLS(nil)
	switch {
	case *target == "" && *endpoint != "":
		return errors.New("-endpoint takes a -target: the service in this process knows the tokens of its own fake VM only")
	case *target == "":
		service, err := laptop.NewGRPC(*resource)
		if err != nil {
			return err
		}
		defer service.Close()
		*target, options, transport = service.Target, service.Options, service.Transport
	case *endpoint != "":
		options.Source, options.Endpoint = azhost.SourceIMDS, *endpoint
	}

	cred, err := azhost.NewManagedIdentityCredential(options)
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
	fmt.Fprintf(out, "the service took the token and is %s\n", reply.Status)
	return nil
}
