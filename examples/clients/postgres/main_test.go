// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestServerIsLeftAlone(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	cred, err := azhost.NewManagedIdentityCredential(vm.Options())
	require.NoError(t, err)
	for _, test := range []struct{ name, dsn, want string }{
		{"no TLS", "postgres://r@db.invalid/d?sslmode=disable", "sslmode=verify-full"},
		{"TLS if the server likes", "postgres://r@db.invalid/d?sslmode=prefer", "sslmode=verify-full"},
		{"TLS if nothing else", "postgres://r@db.invalid/d?sslmode=allow", "sslmode=verify-full"},
		{"pgx's default", "postgres://r@db.invalid/d", "sslmode=verify-full"},
		{"any certificate", "postgres://r@db.invalid/d?sslmode=require", "sslmode=verify-full"},
		{"any name", "postgres://r@db.invalid/d?sslmode=verify-ca", "sslmode=verify-full"},
		{"not a URL", "postgres://r@:db", "cannot parse"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := newPool(t.Context(), test.dsn, cred)
			require.ErrorContains(t, err, test.want)
		})
	}
	for _, good := range []string{"postgres://r@db.invalid/d?sslmode=verify-full", "postgres://r@127.0.0.1/d"} {
		pool, err := newPool(t.Context(), good, cred)
		require.NoError(t, err, good)
		pool.Close()
	}
	require.ErrorContains(t, run(t.Context(), os.Stdout, nil), "-dsn is needed")
}

func TestWithoutATokenThereIsNoConnection(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	vm.SetIdentities()
	var out bytes.Buffer
	err := run(ctx, &out, []string{"-dsn", "postgres://r@127.0.0.1:1/d", "-endpoint", vm.Endpoint()})
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
	require.Empty(t, out.String())
}
