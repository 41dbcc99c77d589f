// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command azuresql asks Azure SQL who it is, with go-mssqldb and a token in the place of a
// password. The driver asks for the token whenever it opens a connection; azhost has it cached.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	mssql "github.com/microsoft/go-mssqldb"
	"github.com/microsoft/go-mssqldb/msdsn"
)

// scope has two slashes because the audience ends in one. US Government:
// https://database.usgovcloudapi.net/, China: https://database.chinacloudapi.cn/
const scope = "https://database.windows.net//.default"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "azuresql:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("azuresql", flag.ExitOnError)
	dsn := flags.String("dsn", "", "`URL` of the database: sqlserver://SERVER.database.windows.net?database=NAME&encrypt=true")
	endpoint := flags.String("endpoint", "", "`URL` of a token endpoint like that of IMDS, instead of this machine's own")
	_ = flags.Parse(args)
	if *dsn == "" {
		return errors.New("-dsn is needed: sqlserver://SERVER.database.windows.net?database=NAME&encrypt=true; a local SQL Server takes no tokens, but the fake one of `go test ./azuresql` does")
	}
	options := &azhost.ManagedIdentityCredentialOptions{}
	if *endpoint != "" {
		options.Source, options.Endpoint = azhost.SourceIMDS, *endpoint
	}

	cred, err := azhost.NewManagedIdentityCredential(options)
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
	fmt.Fprintf(out, "Azure SQL knows this identity as %s\n", name)
	return nil
}

// open returns a database whose connections sign in with tokens of cred.
func open(dsn string, cred azcore.TokenCredential) (*sql.DB, error) {
	config, err := msdsn.Parse(dsn)
	if err != nil {
		return nil, err
	}
	encrypted := config.Encryption == msdsn.EncryptionRequired || config.Encryption == msdsn.EncryptionStrict
	if !encrypted || config.TLSConfig == nil || config.TLSConfig.InsecureSkipVerify {
		return nil, errors.New("a token goes over verified TLS only: put encrypt=true (or strict) into -dsn, and leave out TrustServerCertificate")
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
