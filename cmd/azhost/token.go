// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"flag"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

// tokenTimeout is longer than IMDS's documented schedule of retries, which has up to 128 s of pauses.
const tokenTimeout = 150 * time.Second

// tokenRun is one run of "azhost token".
type tokenRun struct {
	request
	form, out    string
	watch, fresh bool
}

func (r *tokenRun) flags(flags *flag.FlagSet) {
	r.request.flags(flags, tokenTimeout)
	flags.StringVar(&r.form, "o", "token", "")
	flags.StringVar(&r.form, "output", "token", "")
	flags.StringVar(&r.out, "out", "", "")
	flags.BoolVar(&r.watch, "watch", false, "")
	flags.BoolVar(&r.fresh, "fresh", false, "")
}

func (r *tokenRun) run(ctx context.Context, args arguments, p process) error {
	if err := r.resolve(args, ""); err != nil {
		return err
	}
	if err := oneOf("--output", r.form, "a format", formNames()); err != nil {
		return err
	}
	if r.watch && r.out == "" {
		return usagef("--watch needs --out, the file to write")
	}
	write, err := r.writer()
	if err != nil {
		return err
	}
	cred, err := credential(r.options(p.transport))
	if err != nil {
		return err
	}
	opts := policy.TokenRequestOptions{Scopes: []string{r.resource}}
	if r.watch {
		return r.keepFile(ctx, p, cred, opts, write)
	}
	token, err := r.getToken(ctx, p, cred, opts)
	if err != nil {
		if r.form == googleForm && ctx.Err() == nil {
			return writeGoogleFailure(p.out, err)
		}
		return r.failed(err, cred.Source())
	}
	text, err := write(grant{token, r.target(), cred.Source()})
	if err != nil {
		return err
	}
	if r.out != "" {
		return writeFile(r.out, text)
	}
	_, err = fmt.Fprintln(p.out, text)
	return err
}

// getToken requests the token, and waits at most --timeout.
func (r *tokenRun) getToken(ctx context.Context, p process, cred *azhost.ManagedIdentityCredential, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("--timeout %s", r.timeout))
	defer cancel()
	stop := p.progress(cred.Source())
	defer stop()
	token, err := cred.GetToken(ctx, opts)
	if err == nil && r.fresh {
		cred.Invalidate(token.Token) // so that the next request bypasses the host's cache
		token, err = cred.GetToken(ctx, opts)
	}
	return token, err
}

// failed adds the exit status to an error.
func (r *tokenRun) failed(err error, source azhost.Source) error {
	reason, _, _ := explain(err, source, r.identity())
	return statusError{err, reason.exitCode()}
}

const (
	progressAfter = 2 * time.Second
	progressEvery = 5 * time.Second
)

// progress shows on a terminal that a request takes long, until the returned function is called.
func (p process) progress(source azhost.Source) (stop func()) {
	if !p.err.terminal {
		return func() {}
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		start := time.Now()
		for pause := progressAfter; ; pause = progressEvery {
			select {
			case <-time.After(pause):
				fmt.Fprintf(p.err, "azhost: waiting for %s (%s)\n", source, time.Since(start).Round(time.Second))
			case <-done:
				return
			}
		}
	})
	return func() { close(done); running.Wait() }
}

// keepFile writes the token, and each new one, to the file until ctx is done. It fails if it can't get the
// first token or write the file. It prints later failures of the host.
func (r *tokenRun) keepFile(ctx context.Context, p process, cred *azhost.ManagedIdentityCredential, opts policy.TokenRequestOptions, write writer) error {
	if r.fresh { // makes the cached token, which Tokens yields first, a new one
		if _, err := r.getToken(ctx, p, cred, opts); err != nil {
			return r.failed(err, cred.Source())
		}
	}
	written := false
	for token, err := range cred.Tokens(ctx, opts) {
		switch {
		case err != nil && !written:
			return r.failed(err, cred.Source())
		case err != nil:
			fmt.Fprintf(p.err, "azhost token: %s\n", plain(err))
			continue
		}
		text, err := write(grant{token, r.target(), cred.Source()})
		if err == nil {
			err = writeFile(r.out, text)
		}
		if err != nil {
			return err // the next renewal, which would write again, may be 12 hours away
		}
		fmt.Fprintf(p.err, "azhost token: wrote %s; the token expires at %s\n", r.out, stamp(token.ExpiresOn))
		written = true
	}
	return stopped(ctx)
}
