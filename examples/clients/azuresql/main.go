// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command azuresql signs in to Azure SQL with go-mssqldb and a token instead of a password, and
// prints the login that the server signed it in as.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
)

// scope has two slashes because the resource ends in one. US Government:
// https://database.usgovcloudapi.net/, China: https://database.chinacloudapi.cn/
const scope = "https://database.windows.net//.default"

// open returns a pool that signs in each new connection with a token from cred, because a pool
// outlives any one token. A connection stays open when its token expires.
func open(dsn string, cred azcore.TokenCredential) (*sql.DB, error) {
	config, err := msdsn.Parse(dsn)
	if err != nil {
		return nil, err
	}
	encrypted := config.Encryption == msdsn.EncryptionRequired || config.Encryption == msdsn.EncryptionStrict
	if !encrypted || config.TLSConfig == nil || config.TLSConfig.InsecureSkipVerify {
		return nil, errors.New("refusing to send a token without verified TLS: add encrypt=true (or strict) to -dsn and remove TrustServerCertificate")
	}
	connector, err := mssql.NewSecurityTokenConnector(config, func(ctx context.Context) (string, error) {
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		return token.Token, err
	})
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func main() { program.Main("azuresql", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("azuresql", flag.ContinueOnError)
	dsn := flags.String("dsn", "", "connect to `URL`: sqlserver://SERVER.database.windows.net?database=NAME&encrypt=true")
	machine := program.Machine(flags)
	if err := program.Parse(flags, out, args, "signs in to Azure SQL with a token, and prints the login."); err != nil {
		return err
	}
	if *dsn == "" {
		return program.Usagef("-dsn is required: sqlserver://SERVER.database.windows.net?database=NAME&encrypt=true. SQL Server on a laptop accepts no tokens; go test ./azuresql runs a fake server that does")
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
	var name string
	if err := db.QueryRowContext(ctx, "select suser_sname()").Scan(&name); err != nil {
		return err
	}
	fmt.Fprintf(out, "Azure SQL signed in as %s\n", name)
	return nil
}
