// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// dsn starts a fake SQL server that accepts the VM's tokens for the resource, and returns its URL.
func dsn(t *testing.T, vm *azhosttest.VM, resource string) (string, *server) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600))
	s := newServer(t, web.TLS.Certificates[0], func(token string) (string, bool) {
		claims, err := vm.Verify(token)
		if err != nil || claims["aud"] != resource {
			return "", false
		}
		return claims["oid"].(string), true
	})
	query := url.Values{"encrypt": {"strict"}, "certificate": {file}, "dial timeout": {"10"}, "connection timeout": {"10"}}
	return "sqlserver://" + s.address + "?" + query.Encode(), s
}

func TestAzureSQL(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	url, s := dsn(t, vm, "https://database.windows.net/")
	var out bytes.Buffer
	require.NoError(t, run(ctx, &out, []string{"-dsn", url, "-endpoint", vm.Endpoint()}))
	require.Equal(t, "Azure SQL signed in as "+azhosttest.SystemAssigned().ObjectID+"\n", out.String())
	vm.RequireResource(t, "https://database.windows.net/")
	require.Len(t, s.signedIn(), 1)
}

func TestConnectionsSignInWithTheCurrentToken(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	url, s := dsn(t, vm, "https://database.windows.net/")
	cred, err := azhost.NewManagedIdentityCredential(vm.Options())
	require.NoError(t, err)
	db, err := open(url, cred)
	require.NoError(t, err)
	defer db.Close()

	first, err := db.Conn(ctx)
	require.NoError(t, err)
	second, err := db.Conn(ctx)
	require.NoError(t, err)
	_, err = cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, Claims: "{}"}) // a new token
	require.NoError(t, err)
	third, err := db.Conn(ctx)
	require.NoError(t, err)

	tokens := s.signedIn()
	require.Len(t, tokens, 3)
	require.True(t, tokens[0] == tokens[1], "the second connection did not get the cached token")
	require.True(t, tokens[0] != tokens[2], "the third connection got the old token")
	vm.RequireRequests(t, 2)
	for _, c := range []interface{ Close() error }{first, second, third} {
		require.NoError(t, c.Close())
	}
}

// The driver asks the server to cancel a query whose context is done, and keeps the connection.
func TestCanceledQuery(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	url, s := dsn(t, vm, "https://database.windows.net/")
	cred, err := azhost.NewManagedIdentityCredential(vm.Options())
	require.NoError(t, err)
	db, err := open(url, cred)
	require.NoError(t, err)
	defer db.Close()

	canceled, stop := context.WithCancel(ctx)
	s.cancels <- stop
	var name string
	require.ErrorIs(t, db.QueryRowContext(canceled, "select suser_sname()").Scan(&name), context.Canceled)
	require.NoError(t, db.QueryRowContext(ctx, "select suser_sname()").Scan(&name))
	require.Len(t, s.signedIn(), 1, "the connection was closed")
}

func TestTokenForAnotherResourceIsRejected(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	url, s := dsn(t, vm, "https://vault.azure.net")
	err := run(ctx, os.Stdout, []string{"-dsn", url, "-endpoint", vm.Endpoint()})
	require.ErrorContains(t, err, "Login failed for user")
	require.NotContains(t, err.Error(), s.signedIn()[0])
}

func TestTokenNeedsVerifiedTLS(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	for _, test := range []struct{ name, dsn, want string }{
		{"no server", "", "-dsn is required"},
		{"not encrypted", "sqlserver://127.0.0.1:1?encrypt=disable", "without verified TLS"},
		{"by default, encrypted at login only", "sqlserver://127.0.0.1:1", "without verified TLS"},
		{"certificate not checked", "sqlserver://127.0.0.1:1?encrypt=true&TrustServerCertificate=true", "without verified TLS"},
		{"strict, certificate not checked", "sqlserver://127.0.0.1:1?encrypt=strict&TrustServerCertificate=true", "127.0.0.1:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := run(ctx, os.Stdout, []string{"-dsn", test.dsn, "-endpoint", vm.Endpoint()})
			require.ErrorContains(t, err, test.want)
		})
	}
	vm.RequireRequests(t, 0)
}
