// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command mysql signs in to Azure Database for MySQL with go-sql-driver/mysql and a token as the
// password, and prints the user that the server signed it in as.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
	"github.com/go-sql-driver/mysql"
)

// scope is for the public cloud. US Government: https://ossrdbms-aad.database.usgovcloudapi.net,
// China: https://ossrdbms-aad.database.chinacloudapi.cn
const scope = "https://ossrdbms-aad.database.windows.net/.default"

// open returns a pool that signs in each new connection with a token from cred, because a pool
// outlives any one token.
func open(dsn string, cred azcore.TokenCredential) (*sql.DB, error) {
	config, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	verified := config.TLS != nil && !config.TLS.InsecureSkipVerify && !config.AllowFallbackToPlaintext
	if !verified && !strings.HasPrefix(config.Addr, "127.0.0.1:") {
		return nil, errors.New("refusing to send a token without verified TLS: add tls=true to -dsn")
	}
	config.AllowCleartextPasswords = true // the server needs the token itself, not a hash of it
	err = config.Apply(mysql.BeforeConnect(func(ctx context.Context, c *mysql.Config) error {
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		c.Passwd = token.Token
		return err
	}))
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func main() { program.Main("mysql", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("mysql", flag.ContinueOnError)
	dsn := flags.String("dsn", "", "connect to `DSN`: USER@tcp(SERVER.mysql.database.azure.com:3306)/NAME?tls=true")
	machine := program.Machine(flags)
	if err := program.Parse(flags, out, args, "signs in to Azure Database for MySQL with a token, and prints the user."); err != nil {
		return err
	}
	if *dsn == "" {
		return program.Usagef("-dsn is required: USER@tcp(SERVER.mysql.database.azure.com:3306)/NAME?tls=true. To try a local MariaDB, start mariadbd with --skip-grant-tables, which accepts any password, and use root@tcp(127.0.0.1:3306)/")
	}

	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	db, err := open(*dsn, cred)
	if err != nil {
		return err
	}
	defer db.Close()
	var user, version string
	if err := db.QueryRowContext(ctx, "select current_user(), version()").Scan(&user, &version); err != nil {
		return err
	}
	fmt.Fprintf(out, "MySQL %s signed in as %s\n", version, user)
	return nil
}
