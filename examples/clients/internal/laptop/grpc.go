// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package laptop has what the examples run against on a machine that is not on Azure. A program of
// your own needs none of it.
package laptop

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// GRPC is a gRPC service with TLS on loopback, and a fake Azure VM whose tokens it takes. Make one
// with [NewGRPC]. Its fields are not to be changed.
type GRPC struct {
	Target    string                                   // address of the service
	Transport credentials.TransportCredentials         // trusts its certificate
	Options   *azhost.ManagedIdentityCredentialOptions // for the VM's identity
	VM        *azhosttest.VM

	server *httptest.Server
}

// NewGRPC starts a service with gRPC's health check, which takes tokens for the resource only.
func NewGRPC(resource string) (*GRPC, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	service := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if err := check(ctx, vm, resource); err != nil {
			return nil, status.Error(codes.Unauthenticated, err.Error())
		}
		return next(ctx, req)
	}))
	grpc_health_v1.RegisterHealthServer(service, health.NewServer())
	server := httptest.NewUnstartedServer(service) // it brings its certificate along
	server.EnableHTTP2 = true
	server.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &GRPC{
		Target:    server.Listener.Addr().String(),
		Transport: credentials.NewClientTLSFromCert(roots, ""),
		Options:   vm.Options(),
		VM:        vm,
		server:    server,
	}, nil
}

// Close ends the service and the VM.
func (g *GRPC) Close() {
	g.server.CloseClientConnections()
	g.server.Close()
	g.VM.Close()
}

// check reports what is wrong with a call's token.
func check(ctx context.Context, vm *azhosttest.VM, resource string) error {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return fmt.Errorf("%d authorization headers instead of one", len(values))
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok {
		return fmt.Errorf("no bearer token")
	}
	claims, err := vm.Verify(token)
	if err != nil {
		return err
	}
	if claims["aud"] != resource {
		return fmt.Errorf("the token is for %v, not %s", claims["aud"], resource)
	}
	return nil
}
