// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/azuread"
	"github.com/microsoft/go-mssqldb/msdsn"
	"github.com/stretchr/testify/require"
)

// identityHost is what the fakes of this file have in common.
type identityHost interface {
	host
	Stop()
	Endpoint() string
	RequireTokens(testing.TB, int)
}

// newDatabase starts a SQL server that takes the host's tokens.
func newDatabase(t *testing.T, h identityHost) *sqlServer {
	audience := newResource() + "/" // as that of Azure SQL, which ends in a slash
	return newSQLServer(t, audience, func(token string) (string, error) {
		claims, err := h.Verify(token)
		if err != nil || claims["aud"] != audience {
			return "", errors.Join(err, errors.New("not a token for this database"))
		}
		return claims["oid"].(string), nil
	})
}

// open does what go-mssqldb's connector for managed identities does (azuread/configuration.go): for each
// connection, it creates a credential, gets a token, and drops the credential.
func open(t *testing.T, dsn string, options func() *azhost.ManagedIdentityCredentialOptions) *sql.DB {
	config, err := msdsn.Parse(dsn)
	require.NoError(t, err)
	connector, err := mssql.NewActiveDirectoryTokenConnector(config, mssql.FedAuthADALWorkflowMSI,
		func(ctx context.Context, serverSPN, _ string) (string, error) {
			cred, err := azhost.NewManagedIdentityCredential(options())
			if err != nil {
				return "", err
			}
			token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{serverSPN + "/.default"}})
			return token.Token, err
		})
	require.NoError(t, err)
	return pool(t, sql.OpenDB(connector))
}

// pool makes each query of db open a connection.
func pool(t *testing.T, db *sql.DB) *sql.DB {
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxIdleConns(-1)
	return db
}

// use opens n connections, one after the other, with collections in between.
func use(t *testing.T, db *sql.DB, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range n {
		var name string
		require.NoError(t, db.QueryRowContext(ctx, "select suser_sname()").Scan(&name))
		require.Equal(t, system.ObjectID, name)
		runtime.GC()
		runtime.GC() // frees what finalizers released in the first collection
	}
}

type credentialOptions = azhost.ManagedIdentityCredentialOptions

// drivers are the ways in which programs get tokens, each with a separate host.
var drivers = map[string]func(*testing.T) (identityHost, func() *credentialOptions){
	"App Service, no options": func(t *testing.T) (identityHost, func() *credentialOptions) {
		app := azhosttest.NewAppService(t)
		app.Setenv(t)
		return app, func() *credentialOptions { return nil }
	},
	"VM, the default transport": func(t *testing.T) (identityHost, func() *credentialOptions) {
		vm := azhosttest.NewVM(t)
		return vm, func() *credentialOptions {
			return &credentialOptions{Source: azhost.SourceIMDS, Endpoint: vm.Endpoint()}
		}
	},
	"VM, one transport for all": func(t *testing.T) (identityHost, func() *credentialOptions) {
		vm := azhosttest.NewVM(t)
		return vm, vm.Options
	},
	"Arc": func(t *testing.T) (identityHost, func() *credentialOptions) {
		arc := azhosttest.NewArc(t)
		return arc, func() *credentialOptions {
			o := arc.Options()
			o.Transport = nil
			return o
		}
	},
}

// A pool that creates a credential for each connection requests one token, and keeps working while the host
// is down.
func TestConnectionsShareAToken(t *testing.T) {
	for name, driver := range drivers {
		t.Run(name, func(t *testing.T) {
			host, options := driver(t)
			server := newDatabase(t, host)
			db := open(t, server.dsn(), options)
			use(t, db, 100)
			host.RequireTokens(t, 1)

			host.Stop()
			use(t, db, 20)
			require.EqualValues(t, 120, server.signIns.Load())
			host.RequireTokens(t, 1)
		})
	}
}

// Credentials with separate caches show that the test above counts correctly.
func TestConnectionsWithoutASharedToken(t *testing.T) {
	vm := azhosttest.NewVM(t)
	server := newDatabase(t, vm)
	db := open(t, server.dsn(), func() *credentialOptions {
		o := vm.Options()
		o.PerCallPolicies = []policy.Policy{passing{}}
		return o
	})
	use(t, db, 10)
	vm.RequireTokens(t, 10)
	vm.Stop()
	var name string
	require.ErrorContains(t, db.QueryRowContext(t.Context(), "select suser_sname()").Scan(&name), "connection refused")
}

// passing is a policy that does nothing.
type passing struct{}

func (passing) Do(req *policy.Request) (*http.Response, error) { return req.Next() }

// The driver's connector, which uses azidentity, works with the fakes of this file.
func TestDriverConnector(t *testing.T) {
	app := azhosttest.NewAppService(t)
	app.Setenv(t)
	server := newDatabase(t, app)
	connector, err := azuread.NewConnector(server.dsn() + "&fedauth=" + azuread.ActiveDirectoryMSI)
	require.NoError(t, err)
	db := pool(t, sql.OpenDB(connector))
	use(t, db, 10)
	app.RequireTokens(t, 1)
	app.Stop()
	use(t, db, 10)
	require.EqualValues(t, 20, server.signIns.Load())
}
