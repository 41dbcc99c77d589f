// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command postgres signs in to Azure Database for PostgreSQL with pgx and a token as the password,
// and prints the role that the server signed it in as.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// scope is for the public cloud. US Government: https://ossrdbms-aad.database.usgovcloudapi.net,
// China: https://ossrdbms-aad.database.chinacloudapi.cn
const scope = "https://ossrdbms-aad.database.windows.net/.default"

// newPool returns a pool that signs in each new connection with a token from cred, because a pool
// outlives any one token. A connection stays open when its token expires.
func newPool(ctx context.Context, dsn string, cred azcore.TokenCredential) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if tls := config.ConnConfig.TLSConfig; config.ConnConfig.Host != "127.0.0.1" && (tls == nil || tls.InsecureSkipVerify) {
		return nil, errors.New("refusing to send a token without verified TLS: add sslmode=verify-full to -dsn")
	}
	config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		c.Password = token.Token
		return err
	}
	return pgxpool.NewWithConfig(ctx, config)
}

func main() { program.Main("postgres", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("postgres", flag.ContinueOnError)
	dsn := flags.String("dsn", "", "connect to `URL`: postgres://ROLE@SERVER.postgres.database.azure.com/NAME?sslmode=verify-full")
	machine := program.Machine(flags)
	if err := program.Parse(flags, out, args, "signs in to Azure Database for PostgreSQL with a token, and prints the role."); err != nil {
		return err
	}
	if *dsn == "" {
		return program.Usagef("-dsn is required: postgres://ROLE@SERVER.postgres.database.azure.com/NAME?sslmode=verify-full. To try a local server that accepts any password, use postgres://postgres@127.0.0.1 and docker run --rm -p 127.0.0.1:5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres")
	}

	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	pool, err := newPool(ctx, *dsn, cred)
	if err != nil {
		return err
	}
	defer pool.Close()
	var role, version string
	if err := pool.QueryRow(ctx, "select current_user, current_setting('server_version')").Scan(&role, &version); err != nil {
		return err
	}
	fmt.Fprintf(out, "PostgreSQL %s signed in as %s\n", version, role)
	return nil
}
