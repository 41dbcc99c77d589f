// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command postgres asks Azure Database for PostgreSQL who it is, with pgx and a token in the place
// of a password. A token lives for hours and a pool for months, so every connection gets its own.
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
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// scope is that of the public cloud. US Government: https://ossrdbms-aad.database.usgovcloudapi.net,
// China: https://ossrdbms-aad.database.chinacloudapi.cn
const scope = "https://ossrdbms-aad.database.windows.net/.default"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("postgres", flag.ExitOnError)
	dsn := flags.String("dsn", "", "`URL` of the database: postgres://ROLE@SERVER.postgres.database.azure.com/NAME?sslmode=verify-full")
	endpoint := flags.String("endpoint", "", "`URL` of a token endpoint like that of IMDS, instead of this machine's own")
	_ = flags.Parse(args)
	if *dsn == "" {
		return errors.New("-dsn is needed: postgres://ROLE@SERVER.postgres.database.azure.com/NAME?sslmode=verify-full, or postgres://postgres@127.0.0.1 for a local server that takes any password: docker run --rm -p 127.0.0.1:5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres")
	}
	options := &azhost.ManagedIdentityCredentialOptions{}
	if *endpoint != "" {
		options.Source, options.Endpoint = azhost.SourceIMDS, *endpoint
	}

	cred, err := azhost.NewManagedIdentityCredential(options)
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
	fmt.Fprintf(out, "PostgreSQL %s knows this identity as %s\n", version, role)
	return nil
}

// newPool returns a pool whose connections sign in with tokens of cred.
func newPool(ctx context.Context, dsn string, cred azcore.TokenCredential) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if tls := config.ConnConfig.TLSConfig; config.ConnConfig.Host != "127.0.0.1" && (tls == nil || tls.InsecureSkipVerify) {
		return nil, errors.New("a token goes over verified TLS only: put sslmode=verify-full into -dsn")
	}
	config.BeforeConnect = func(ctx context.Context, c *pgx.ConnConfig) error {
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		c.Password = token.Token
		return err
	}
	return pgxpool.NewWithConfig(ctx, config)
}
