// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package program has the command line of the examples. You don't need to copy it.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/azhost/azhost"
)

// Main calls run with the program's arguments, and cancels ctx on an interrupt. If run fails, Main prints the
// error to standard error and exits with status 130 after an interrupt, 2 for an error of [Usagef] or
// [Parse], and 1 for any other. After -h, it exits with status 0.
func Main(name string, run func(ctx context.Context, out io.Writer, args []string) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second interrupt ends the program at once
	err := run(ctx, os.Stdout, os.Args[1:])
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	status := 1
	if _, wrong := errors.AsType[usageError](err); wrong {
		status = 2
	}
	if ctx.Err() != nil {
		status = 130
	}
	os.Exit(status)
}

type usageError struct{ error }

// Usagef returns an error that says what is wrong with the arguments.
func Usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Parse parses a program's arguments. For -h it writes help, which begins with about, to out and
// returns [flag.ErrHelp].
func Parse(flags *flag.FlagSet, out io.Writer, args []string, about string) error {
	flags.SetOutput(io.Discard) // the caller prints the error
	flags.Usage = func() {}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(out, "%s %s\n\nFlags:\n", flags.Name(), about)
		flags.SetOutput(out)
		flags.PrintDefaults()
		return err
	case err != nil:
		return Usagef("%w; run %s -h for help", err, flags.Name())
	case flags.NArg() > 0:
		return Usagef("unexpected argument %q; run %s -h for help", flags.Arg(0), flags.Name())
	}
	return nil
}

// Machine defines the flag -endpoint. It returns options for a credential of the machine that the program
// runs on or, with the flag, for the host at that endpoint.
func Machine(flags *flag.FlagSet) *azhost.ManagedIdentityCredentialOptions {
	var options azhost.ManagedIdentityCredentialOptions
	flags.Func("endpoint", "get tokens from `URL`, an endpoint that responds like IMDS, instead of this machine's", func(url string) error {
		options.Source, options.Endpoint = azhost.SourceIMDS, url
		return nil
	})
	return &options
}
