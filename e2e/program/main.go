// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command program is like a user's program: it creates a credential with default options and calls GetToken.
// The tests start it in a network namespace; it doesn't run anywhere else.
//
// It reads lines of resources, separated by blanks, from standard input. For every line, it requests tokens
// from as many goroutines as -goroutines says, which share the line's resources evenly, and writes the
// outcomes to standard output. It never writes a token. It exits at the end of its input.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/e2e/internal/line"
	"github.com/azhost/azhost/e2e/internal/netns"
)

func main() {
	outside := flag.String("outside", "", "network namespace of the process that started this one")
	goroutines := flag.Int("goroutines", 1, "number of concurrent callers")
	log := flag.Bool("log", false, "log to standard error")
	careless := flag.Bool("careless", false, "use net/http's default client, which uses proxies")
	flag.Parse()
	err := netns.Confined(*outside)
	if err == nil {
		err = run(os.Stdin, line.NewWriter(os.Stdout), options(*log, *careless), *goroutines)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "program:", err)
		os.Exit(1)
	}
}

// options returns nil, the default, unless there is something to set.
func options(log, careless bool) *azhost.ManagedIdentityCredentialOptions {
	if !log && !careless {
		return nil
	}
	o := &azhost.ManagedIdentityCredentialOptions{}
	if log {
		o.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if careless {
		o.Transport = http.DefaultClient
	}
	return o
}

func run(in io.Reader, out *line.Writer, o *azhost.ManagedIdentityCredentialOptions, goroutines int) error {
	credential, err := azhost.NewManagedIdentityCredential(o)
	if err != nil {
		return err
	}
	out.Write(line.Call{Source: string(credential.Source())}) // ready
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		resources := strings.Fields(lines.Text())
		if len(resources) == 0 {
			return errors.New("a line without resources")
		}
		var callers sync.WaitGroup
		for n := range goroutines {
			callers.Go(func() { out.Write(ask(credential, resources[n%len(resources)])) })
		}
		callers.Wait()
	}
	return lines.Err()
}

// ask requests one token.
func ask(credential *azhost.ManagedIdentityCredential, resource string) line.Call {
	start := time.Now()
	token, err := credential.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
	call := line.Call{Source: string(credential.Source()), Resource: resource, Took: time.Since(start)}
	if err != nil {
		call.Type, call.Error = typeOf(err), err.Error()
		return call
	}
	call.Token, call.Expires = digest(token), token.ExpiresOn
	return call
}

func typeOf(err error) string {
	if _, ok := errors.AsType[*azhost.CredentialUnavailableError](err); ok {
		return "unavailable"
	}
	if _, ok := errors.AsType[*azhost.AuthenticationFailedError](err); ok {
		return "failed"
	}
	return fmt.Sprintf("%T", err)
}

// digest returns a hash that distinguishes tokens without revealing them.
func digest(token azcore.AccessToken) string {
	sum := sha256.Sum256([]byte(token.Token))
	return hex.EncodeToString(sum[:8])
}
