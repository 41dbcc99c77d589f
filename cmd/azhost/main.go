// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command azhost gets tokens for the managed identity of the machine that it runs on, says what
// is wrong when there is none, and fakes the hosts for local work. Run "azhost help".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/azhost/azhost"
)

// The exit statuses.
const (
	exitOK          = 0
	exitUsage       = 2
	exitUnavailable = 3 // no managed identity here
	exitFailed      = 4 // refused, or anything else
)

// process is what a run gets from its operating system.
type process struct {
	stdout, stderr io.Writer
	terminal       bool              // stderr is one
	transport      http.RoundTripper // in the place of the network; nil in a real process
	facts          func() facts      // for the doctor
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends a command that is stuck
	info, err := os.Stderr.Stat()
	code := run(ctx, os.Args[1:], process{
		stdout: os.Stdout, stderr: os.Stderr,
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
		facts:    readFacts,
	})
	stop()
	os.Exit(code)
}

// command is one of azhost's commands.
type command struct {
	name string
	page string // its manual
	run  func(ctx context.Context, args []string, p process) error
}

func commands() []command {
	return []command{
		{"token", tokenPage, runToken},
		{"doctor", doctorPage, runDoctor},
		{"fake", fakePage, runFake},
		{"version", versionPage, runVersion},
	}
}

// run runs the command that args name, and returns the exit status.
func run(ctx context.Context, args []string, p process) int {
	if len(args) == 0 {
		fmt.Fprint(p.stderr, mainPage)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		return help(rest, p)
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		err := c.run(ctx, rest, p)
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(p.stdout, c.page)
			return exitOK
		}
		return p.exit(name, err)
	}
	return p.exit("", usageError{fmt.Errorf("there is no command %q", name)})
}

// help prints a command's manual.
func help(args []string, p process) int {
	if len(args) == 0 {
		fmt.Fprint(p.stdout, mainPage)
		return exitOK
	}
	for _, c := range commands() {
		if len(args) == 1 && c.name == args[0] {
			fmt.Fprint(p.stdout, c.page)
			return exitOK
		}
	}
	return p.exit("", usageError{fmt.Errorf("there is no manual for %q", strings.Join(args, " "))})
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// reportedError is an error that the command has told the user about in its own way.
type reportedError struct{ error }

func (e reportedError) Unwrap() error { return e.error }

// exit tells the user about a command's error, and returns the exit status for it.
func (p process) exit(name string, err error) int {
	if err == nil {
		return exitOK
	}
	if _, told := errors.AsType[reportedError](err); !told {
		fmt.Fprintf(p.stderr, "%s: %s\n", strings.TrimSpace("azhost "+name), strings.TrimPrefix(err.Error(), "azhost: "))
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(p.stderr, "Run \"%s\" for its use.\n", strings.TrimSpace("azhost help "+name))
		return exitUsage
	}
	if _, ok := errors.AsType[*azhost.CredentialUnavailableError](err); ok {
		return exitUnavailable
	}
	return exitFailed
}

// parse reads a command's flags; what remains must be empty.
func parse(flags *flag.FlagSet, args []string) error {
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", flags.Arg(0))}
	}
	return nil
}
