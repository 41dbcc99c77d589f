// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command redis asks Azure Managed Redis (or Azure Cache for Redis) who it is, with go-redis and a
// token in the place of a password. Connections that outlive a token are given the next one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/azhost/azhost"
	"github.com/redis/go-redis/v9"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "redis:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("redis", flag.ExitOnError)
	url := flags.String("url", "", "`URL` of the cache; the user is the identity's object ID: rediss://OBJECT-ID@NAME.REGION.redis.azure.net:10000")
	endpoint := flags.String("endpoint", "", "`URL` of a token endpoint like that of IMDS, instead of this machine's own")
	_ = flags.Parse(args)
	if *url == "" {
		return errors.New("-url is needed: rediss://OBJECT-ID@NAME.REGION.redis.azure.net:10000, or redis://default@127.0.0.1:6379 for a local server that takes any password: redis-server --bind 127.0.0.1")
	}
	options := &azhost.ManagedIdentityCredentialOptions{}
	if *endpoint != "" {
		options.Source, options.Endpoint = azhost.SourceIMDS, *endpoint
	}

	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		return err
	}
	config, err := parse(*url)
	if err != nil {
		return err
	}
	source := newTokens(config.Username, cred)
	config.StreamingCredentialsProvider = source
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go source.renew(ctx)
	client := redis.NewClient(config)
	defer client.Close()
	name, err := client.Do(ctx, "ACL", "WHOAMI").Text()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Redis knows this identity as %s\n", name)
	return nil
}

// parse reads a cache's URL, whose user is an object ID.
func parse(url string) (*redis.Options, error) {
	config, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	if config.Username == "" {
		return nil, errors.New("-url names no user: put the identity's object ID before the @")
	}
	if config.TLSConfig == nil && !strings.HasPrefix(config.Addr, "127.0.0.1:") || config.TLSConfig != nil && config.TLSConfig.InsecureSkipVerify {
		return nil, errors.New("a token goes over verified TLS only: write rediss://, without skip_verify")
	}
	return config, nil
}
