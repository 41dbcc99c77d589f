// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestTokenNeedsVerifiedTLS(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	cred, err := azhost.NewManagedIdentityCredential(vm.Options())
	require.NoError(t, err)
	for _, test := range []struct{ name, dsn, want string }{
		{"driver's default", "u@tcp(db.invalid)/d", "add tls=true"},
		{"no TLS", "u@tcp(db.invalid)/d?tls=false", "add tls=true"},
		{"any certificate", "u@tcp(db.invalid)/d?tls=skip-verify", "add tls=true"},
		{"TLS if the server offers it", "u@tcp(db.invalid)/d?tls=preferred", "add tls=true"},
		{"verified TLS if the server offers it", "u@tcp(db.invalid)/d?tls=true&allowFallbackToPlaintext=true", "add tls=true"},
		{"socket", "u@unix(/run/mysqld/mysqld.sock)/d", "add tls=true"},
		{"not a DSN", "u@db.invalid", "invalid DSN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := open(test.dsn, cred)
			require.ErrorContains(t, err, test.want)
		})
	}
	for _, good := range []string{"u@tcp(db.invalid)/d?tls=true", "u@tcp(127.0.0.1)/d"} {
		db, err := open(good, cred)
		require.NoError(t, err, good)
		require.NoError(t, db.Close())
	}
	require.ErrorContains(t, run(t.Context(), &bytes.Buffer{}, nil), "-dsn is required")
}

func TestNoTokenNoSignIn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	vm.SetIdentities()
	err := run(ctx, &bytes.Buffer{}, []string{"-dsn", "u@tcp(127.0.0.1:1)/d", "-endpoint", vm.Endpoint()})
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
}
