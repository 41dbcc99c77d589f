// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

// tokenTimeout leaves room for IMDS's documented schedule of retries, up to 128 s of pauses.
const tokenTimeout = 150 * time.Second

// freshClaims ask for a token that no cache holds. The host may still have one of its own.
const freshClaims = `{"access_token":{}}`

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
	if !slices.Contains(formNames(), r.form) {
		return usagef("--output %q isn't a format; it is one of %s%s", r.form, strings.Join(formNames(), ", "), didYouMean(r.form, formNames()))
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
	if r.fresh {
		opts.Claims = freshClaims
	}
	if r.watch {
		return r.keepFile(ctx, p, cred, opts, write)
	}
	bounded, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("--timeout %s", r.timeout))
	defer cancel()
	stop := p.progress(cred.Source())
	token, err := cred.GetToken(bounded, opts)
	stop()
	if err != nil {
		if r.form == googleForm && ctx.Err() == nil {
			return writeGoogleFailure(p.out, err)
		}
		return r.failed(err, p, cred.Source())
	}
	text, err := write(answer{token, r.target(), cred.Source()})
	if err != nil {
		return err
	}
	if r.out != "" {
		return writeFile(r.out, text)
	}
	_, err = fmt.Fprintln(p.out, text)
	return err
}

// failed distinguishes a machine without a managed identity from one whose host is down.
func (r *tokenRun) failed(err error, p process, source azhost.Source) error {
	if unreachable(err) && p.facts().known(r.request, source) {
		return statusError{err, exitDown}
	}
	if noIdentity(err, source, r.request) {
		return statusError{err, exitUnavailable}
	}
	return err
}

const (
	progressAfter = 2 * time.Second
	progressEvery = 5 * time.Second
)

// progress shows on a terminal that the host takes long. The function that it returns ends that.
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

// keepFile writes the token to the file, and each renewal, until ctx ends. It fails if there is no
// first token; later failures are reported and the file stays as it is.
func (r *tokenRun) keepFile(ctx context.Context, p process, cred *azhost.ManagedIdentityCredential, opts policy.TokenRequestOptions, write writer) error {
	first := true
	for token, err := range renewals(ctx, cred, opts) {
		if err == nil {
			var text string
			if text, err = write(answer{token, r.target(), cred.Source()}); err == nil {
				err = writeFile(r.out, text)
			}
			if err == nil {
				fmt.Fprintf(p.err, "azhost token: wrote %s, which expires at %s\n", r.out, stamp(token.ExpiresOn))
				first = false
				continue
			}
		}
		if first {
			return r.failed(err, p, cred.Source())
		}
		fmt.Fprintf(p.err, "azhost token: %s\n", plain(err))
	}
	if signal, ok := errors.AsType[interrupted](context.Cause(ctx)); ok && signal.code() == exitTerminated {
		return nil // the usual end of a service
	}
	return context.Cause(ctx)
}
