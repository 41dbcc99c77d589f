// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command redis signs in to Azure Managed Redis or Azure Cache for Redis with go-redis and a token
// as the password, and prints the user that the server signed it in as.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/examples/internal/program"
	"github.com/redis/go-redis/v9"
)

// newClient returns a client that signs in each connection with a token from cred until ctx ends. Azure
// closes a connection when its token expires, so tokens.go gives the next one to open connections.
func newClient(ctx context.Context, config *redis.Options, cred *azhost.ManagedIdentityCredential) *redis.Client {
	config.StreamingCredentialsProvider = &tokens{ctx: ctx, user: config.Username, cred: cred}
	return redis.NewClient(config)
}

// parse parses the URL of a cache. Its user is the identity's object ID.
func parse(url string) (*redis.Options, error) {
	config, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	if config.Username == "" {
		return nil, errors.New("-url has no user: add the identity's object ID before the @")
	}
	if config.TLSConfig == nil && !strings.HasPrefix(config.Addr, "127.0.0.1:") || config.TLSConfig != nil && config.TLSConfig.InsecureSkipVerify {
		return nil, errors.New("refusing to send a token without verified TLS: use rediss:// without skip_verify in -url")
	}
	return config, nil
}

func main() { program.Main("redis", run) }

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("redis", flag.ContinueOnError)
	url := flags.String("url", "", "connect to `URL`, whose user is the identity's object ID: rediss://OBJECT-ID@NAME.REGION.redis.azure.net:10000")
	machine := program.Machine(flags)
	if err := program.Parse(flags, out, args, "signs in to Azure Managed Redis with a token, and prints the user."); err != nil {
		return err
	}
	if *url == "" {
		return program.Usagef("-url is required: rediss://OBJECT-ID@NAME.REGION.redis.azure.net:10000. To try a local server that accepts any password, use redis://default@127.0.0.1:6379 and redis-server --bind 127.0.0.1")
	}

	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return err
	}
	config, err := parse(*url)
	if err != nil {
		return err
	}
	client := newClient(ctx, config, cred)
	defer client.Close()
	name, err := client.Do(ctx, "ACL", "WHOAMI").Text()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Redis signed in as %s\n", name)
	return nil
}
