// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package laptop lets the grpc example run outside Azure. Your own programs don't need it.
package laptop

import (
	"context"
	"crypto/x509"
	"errors"
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

// GRPC is a gRPC service with TLS on 127.0.0.1, and a fake Azure VM whose tokens it accepts. Use
// [NewGRPC] to start one. The fields are read-only.
type GRPC struct {
	Target    string                                   // address of the service
	Transport credentials.TransportCredentials         // trusts its certificate
	Machine   *azhost.ManagedIdentityCredentialOptions // for the VM's identity
	VM        *azhosttest.VM

	server *httptest.Server
}

// NewGRPC starts a service with gRPC's health check. It accepts only tokens for the resource.
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
	server := httptest.NewUnstartedServer(service) // for its certificate
	server.EnableHTTP2 = true
	server.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &GRPC{
		Target:    server.Listener.Addr().String(),
		Transport: credentials.NewClientTLSFromCert(roots, ""),
		Machine:   vm.Options(),
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

// check returns the reason to reject a call's token, or nil.
func check(ctx context.Context, vm *azhosttest.VM, resource string) error {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return fmt.Errorf("the call has %d authorization headers, not 1", len(values))
	}
	token, ok := strings.CutPrefix(values[0], "Bearer ")
	if !ok {
		return errors.New("the authorization header has no bearer token")
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
