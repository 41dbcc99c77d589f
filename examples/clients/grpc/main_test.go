// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"testing"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/clients/internal/laptop"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, "the service took the token and is SERVING\n", out.String())

	require.ErrorContains(t, run(t.Context(), &out, []string{"-endpoint", "http://127.0.0.1:1/token"}), "takes a -target")
}

// health calls the service's health check n times over one connection.
func health(t *testing.T, service *laptop.GRPC, n int, options ...grpc.DialOption) error {
	conn, err := grpc.NewClient(service.Target, options...)
	if err != nil {
		return err
	}
	defer conn.Close()
	for range n {
		if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
			return err
		}
	}
	return nil
}

func newService(t *testing.T, resource string) (*laptop.GRPC, *azhost.ManagedIdentityCredential) {
	service, err := laptop.NewGRPC(resource)
	require.NoError(t, err)
	t.Cleanup(service.Close)
	cred, err := azhost.NewManagedIdentityCredential(service.Options)
	require.NoError(t, err)
	return service, cred
}

func TestOneTokenServesManyCalls(t *testing.T) {
	t.Parallel()
	service, cred := newService(t, "api://orders")
	require.NoError(t, health(t, service, 10, grpc.WithTransportCredentials(service.Transport),
		grpc.WithPerRPCCredentials(perRPC{cred, "api://orders/.default"})))
	service.VM.RequireRequests(t, 1)
}

func TestServiceChecksTokens(t *testing.T) {
	t.Parallel()
	service, cred := newService(t, "api://orders")

	err := health(t, service, 1, grpc.WithTransportCredentials(service.Transport))
	require.Equal(t, codes.Unauthenticated, status.Code(err), "without a token")
	err = health(t, service, 1, grpc.WithTransportCredentials(service.Transport),
		grpc.WithPerRPCCredentials(perRPC{cred, "api://bills/.default"}))
	require.Equal(t, codes.Unauthenticated, status.Code(err), "with a token for another service")
	require.ErrorContains(t, err, "the token is for api://bills, not api://orders")
}

func TestNoTokenIsSentInTheClear(t *testing.T) {
	t.Parallel()
	service, cred := newService(t, "api://orders")
	err := health(t, service, 1, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(perRPC{cred, "api://orders/.default"}))
	require.ErrorContains(t, err, "transport level security")
	service.VM.RequireRequests(t, 0)
}

func TestWithoutATokenThereIsNoCall(t *testing.T) {
	t.Parallel()
	service, cred := newService(t, "api://orders")
	service.VM.SetIdentities()
	err := health(t, service, 1, grpc.WithTransportCredentials(service.Transport),
		grpc.WithPerRPCCredentials(perRPC{cred, "api://orders/.default"}))
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.ErrorContains(t, err, "Identity not found")
}
