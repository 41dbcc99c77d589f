// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func TestPostgreSQL(t *testing.T) {
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
	db := newServer(t)
	old := newToken()
	db.exec(ctx, "create role report login password '"+old+"'")

	t.Run("each connection signs in with the current token", func(t *testing.T) {
		pool, err := newPool(ctx, db.dsn("report"), cred)
		require.NoError(t, err)
		defer pool.Close()
		first, err := pool.Acquire(ctx)
		require.NoError(t, err)
		defer first.Release()

		rotated := newToken()
		require.True(t, old != rotated)
		db.exec(ctx, "alter role report password '"+rotated+"'")
		second, err := pool.Acquire(ctx) // the first is in use, so this one is new
		require.NoError(t, err)
		defer second.Release()
		require.NotEqual(t, first.Conn().PgConn().PID(), second.Conn().PgConn().PID())
		for _, c := range []interface{ Ping(context.Context) error }{first, second} {
			require.NoError(t, c.Ping(ctx), "a rotation must not end a session")
		}

		config, err := pgx.ParseConfig(db.dsn("report"))
		require.NoError(t, err)
		config.Password = old
		_, err = pgx.ConnectConfig(ctx, config)
		var refused *pgconn.PgError
		require.ErrorAs(t, err, &refused, "the old token still works")
		require.Equal(t, "28P01", refused.Code) // invalid_password
		vm.RequireResource(t, "https://ossrdbms-aad.database.windows.net")
	})

	t.Run("program", func(t *testing.T) {
		vm.ReuseTokens(true) // the program gets the token that the role has
		db.exec(ctx, "alter role report password '"+newToken()+"'")
		var out bytes.Buffer
		require.NoError(t, run(ctx, &out, []string{"-dsn", db.dsn("report"), "-endpoint", vm.Endpoint()}))
		require.Regexp(t, `^PostgreSQL \d+\.\d+.* signed in as report\n$`, out.String())
	})
}

// server is a PostgreSQL on 127.0.0.1 for one test.
type server struct {
	t    *testing.T
	port int
}

const adminPassword = "for this test only"

// newServer starts PostgreSQL as an unprivileged user, with a password for each role, and stops it
// when the test ends.
func newServer(t *testing.T) *server {
	bin := binaries(t)
	dir := t.TempDir()
	var as *syscall.SysProcAttr
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		as = &syscall.SysProcAttr{Credential: unprivileged(t)}
		require.NoError(t, os.Chown(dir, int(as.Credential.Uid), int(as.Credential.Gid)))
		require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711)) // other users can't enter TempDir's parent
	}
	passwords := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(passwords, []byte(adminPassword+"\n"), 0o644))
	data := filepath.Join(dir, "data")
	var log bytes.Buffer
	command := func(ctx context.Context, name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
		cmd.Dir, cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = dir, as, &log, &log
		cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
		cmd.WaitDelay = 20 * time.Second
		return cmd
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := command(ctx, "initdb", "-D", data, "-U", "admin", "--auth=scram-sha-256", "--pwfile="+passwords, "--no-sync", "-E", "UTF8").Run()
	require.NoError(t, err, "initdb: %s", &log)

	s := &server{t: t, port: freePort(t)}
	cmd := command(t.Context(), "postgres", "-D", data, "-p", strconv.Itoa(s.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // its fast shutdown
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // t.Context stops it before cleanups run
	}()
	t.Cleanup(func() { <-ended })
	for ctx.Err() == nil {
		if c, err := pgx.Connect(ctx, s.dsn("admin:"+url.PathEscape(adminPassword))); err == nil {
			require.NoError(t, c.Close(ctx))
			return s
		}
		select {
		case <-ended:
			require.FailNow(t, "postgres ended", "%s", &log)
		case <-time.After(50 * time.Millisecond):
		}
	}
	require.FailNow(t, "postgres does not respond")
	return nil
}

// dsn returns the URL for a role, with its password if it has one.
func (s *server) dsn(role string) string {
	return fmt.Sprintf("postgres://%s@127.0.0.1:%d/postgres?sslmode=disable", role, s.port)
}

// exec executes a statement as the administrator.
func (s *server) exec(ctx context.Context, statement string) {
	c, err := pgx.Connect(ctx, s.dsn("admin:"+url.PathEscape(adminPassword)))
	require.NoError(s.t, err)
	defer c.Close(ctx)
	_, err = c.Exec(ctx, statement)
	require.NoError(s.t, err)
}

// binaries returns the directory of initdb and postgres, which Debian leaves off the PATH.
func binaries(t *testing.T) string {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	require.NoError(t, err)
	if len(found) == 0 {
		t.Skip("PostgreSQL is not installed: apt-get install postgresql")
	}
	return filepath.Dir(slices.Max(found))
}

// unprivileged returns a user that is not root.
func unprivileged(t *testing.T) *syscall.Credential {
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	require.NoError(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	require.NoError(t, err)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// freePort returns a port of 127.0.0.1 that has no listener.
func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
