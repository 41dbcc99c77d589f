// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

func TestMariaDB(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	cred, err := azhost.NewManagedIdentityCredential(vm.Options())
	require.NoError(t, err)
	newToken := func() string { // claims make azhost request a new token
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, Claims: "{}"})
		require.NoError(t, err)
		return token.Token
	}
	// The plugin compares the cleartext password with the account's text.
	address, admin := newServer(t, ctx, "--plugin-load-add=auth_test_plugin", "--plugin-maturity=unknown")
	setToken := func(token string) {
		// CREATE USER rejects a text as long as a token. ssl_type 1 is REQUIRE SSL.
		for _, statement := range []string{
			"replace into mysql.global_priv values ('%', 'report', json_object('plugin', 'cleartext_plugin_server', 'authentication_string', '" + token + "', 'ssl_type', 1))",
			"flush privileges",
		} {
			_, err := admin.ExecContext(ctx, statement)
			require.NoError(t, err)
		}
	}
	dsn := "report@tcp(" + address + ")/?tls=" + tlsConfig

	t.Run("each connection signs in with the current token", func(t *testing.T) {
		old := newToken()
		setToken(old)
		db, err := open(dsn, cred)
		require.NoError(t, err)
		defer db.Close()
		first, err := db.Conn(ctx)
		require.NoError(t, err)
		defer first.Close()

		rotated := newToken()
		require.True(t, old != rotated)
		setToken(rotated)
		second, err := db.Conn(ctx) // the first is in use, so this one is new
		require.NoError(t, err)
		defer second.Close()
		require.NoError(t, first.PingContext(ctx), "a rotation must not end a session")
		require.NoError(t, second.PingContext(ctx))

		config, err := mysql.ParseDSN(dsn)
		require.NoError(t, err)
		config.AllowCleartextPasswords, config.Passwd = true, old
		require.ErrorIs(t, ping(ctx, t, config), &mysql.MySQLError{Number: 1045}, "the old token still works") // access denied
		config.Passwd, config.TLS, config.TLSConfig = rotated, nil, ""
		require.ErrorIs(t, ping(ctx, t, config), &mysql.MySQLError{Number: 1045}, "the server takes the token without TLS")
		vm.RequireResource(t, "https://ossrdbms-aad.database.windows.net")
	})

	t.Run("program", func(t *testing.T) {
		vm.ReuseTokens(true) // the program gets the token that the account has
		setToken(newToken())
		var out bytes.Buffer
		require.NoError(t, run(ctx, &out, []string{"-dsn", dsn, "-endpoint", vm.Endpoint()}))
		require.Regexp(t, `^MySQL \d+\.\d+.* signed in as report@%\n$`, out.String())
	})
}

// The error message without -dsn suggests this server for a first try.
func TestMariaDBThatAcceptsAnyPassword(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	vm := azhosttest.NewVM(t)
	address, _ := newServer(t, ctx, "--skip-grant-tables")
	var out bytes.Buffer
	require.NoError(t, run(ctx, &out, []string{"-dsn", "root@tcp(" + address + ")/", "-endpoint", vm.Endpoint()}))
	require.Regexp(t, `^MySQL .* signed in as .*@.*\n$`, out.String())
	vm.RequireResource(t, "https://ossrdbms-aad.database.windows.net")
}

// tlsConfig is the name of the TLS configuration that trusts the test servers.
const tlsConfig = "test"

const adminPassword = "for this test only"

// newServer starts a MariaDB with TLS on 127.0.0.1, stops it when the test ends, and returns its
// address and an administrator's connections.
func newServer(t *testing.T, ctx context.Context, args ...string) (string, *sql.DB) {
	bin, err := exec.LookPath("mariadbd")
	if err != nil {
		t.Skip("mariadbd is not on the PATH: apt-get install mariadb-test")
	}
	if _, err := os.Stat("/usr/lib/mysql/plugin/auth_test_plugin.so"); err != nil {
		t.Skip("MariaDB has no auth_test_plugin: apt-get install mariadb-test")
	}
	me, err := user.Current()
	require.NoError(t, err)
	dir := t.TempDir()
	init := filepath.Join(dir, "init.sql")
	require.NoError(t, os.WriteFile(init, []byte("create user admin identified by '"+adminPassword+"';\ngrant all on *.* to admin with grant option;\n"), 0o600))
	certificate, key := certify(t, dir)
	var log bytes.Buffer
	command := func(ctx context.Context, name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, name, append([]string{"--no-defaults", "--user=" + me.Username, "--datadir=" + dir + "/data"}, args...)...)
		cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = dir, &log, &log, 20*time.Second
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		return cmd
	}
	require.NoError(t, command(ctx, "mariadb-install-db", "--skip-test-db").Run(), "mariadb-install-db: %s", &log)

	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	cmd := command(t.Context(), bin, append([]string{"--bind-address=127.0.0.1", "--port=" + port, "--socket=" + dir + "/socket",
		"--skip-name-resolve", "--ssl-cert=" + certificate, "--ssl-key=" + key, "--innodb-flush-log-at-trx-commit=0"}, args...)...)
	if !slices.Contains(args, "--skip-grant-tables") { // which rejects statements about users
		cmd.Args = append(cmd.Args, "--init-file="+init)
	}
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // t.Context stops it before cleanups run
	}()
	t.Cleanup(func() { <-ended })
	admin, err := sql.Open("mysql", fmt.Sprintf("admin:%s@tcp(%s)/?tls=%s", adminPassword, address, tlsConfig))
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close() })
	for deadline := time.Now().Add(time.Minute); admin.PingContext(ctx) != nil; {
		require.True(t, time.Now().Before(deadline), "mariadbd does not respond: %v", admin.PingContext(ctx))
		select {
		case <-ended:
			require.FailNow(t, "mariadbd ended", "%s", &log)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return address, admin
}

// certify writes httptest's certificate for 127.0.0.1 and its key to dir, and makes the driver
// trust it.
func certify(t *testing.T, dir string) (certificate, key string) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	raw, err := x509.MarshalPKCS8PrivateKey(web.TLS.Certificates[0].PrivateKey)
	require.NoError(t, err)
	certificate, key = filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	require.NoError(t, mysql.RegisterTLSConfig(tlsConfig, &tls.Config{RootCAs: roots}))
	return certificate, key
}

// ping signs in once with config and returns the driver's error.
func ping(ctx context.Context, t *testing.T, config *mysql.Config) error {
	connector, err := mysql.NewConnector(config)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	defer db.Close()
	return db.PingContext(ctx)
}

// freeAddress returns an address of 127.0.0.1 that has no listener.
func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
