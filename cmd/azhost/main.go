// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command azhost gets tokens for the managed identity of the machine that it runs on, explains why it can't
// get one, and runs fake hosts for local development. Run "azhost help".
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
	"slices"
	"strings"
	"syscall"
)

// The exit statuses, which help/azhost.txt documents.
const (
	exitOK          = 0
	exitUsage       = 2
	exitUnavailable = 3   // the machine has no managed identity
	exitFailed      = 4   // the request failed
	exitDown        = 5   // the machine has a host, but it does not respond
	exitInterrupted = 130 // 128 and the number of SIGINT
	exitTerminated  = 143 // 128 and the number of SIGTERM
)

// process is a run's connection to the operating system.
type process struct {
	in        io.Reader
	out, err  console
	transport http.RoundTripper // replaces the network; nil in a real process
	facts     func() facts      // for the doctor
}

func main() {
	ctx, stop := interruptible(context.Background())
	code := run(ctx, os.Args[1:], process{
		in: os.Stdin, out: newConsole(os.Stdout), err: newConsole(os.Stderr), facts: readFacts,
	})
	stop()
	os.Exit(code)
}

// interrupted is the cause of a context that a signal has canceled.
type interrupted struct{ signal os.Signal }

func (i interrupted) Error() string {
	if i.signal == os.Interrupt {
		return "interrupted"
	}
	return "stopped by signal: " + i.signal.String()
}

// code returns the exit status that shells expect.
func (i interrupted) code() int {
	if i.signal == os.Interrupt {
		return exitInterrupted
	}
	return exitTerminated
}

// interruptible returns a context that the first SIGINT or SIGTERM cancels. The second signal ends the
// process, in case a command does not respond to the first.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case s := <-signals:
			cancel(interrupted{s})
			signal.Stop(signals)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel(nil) }
}

// stopped returns the error of a command that runs until a signal stops it. The error is nil after SIGTERM,
// the usual end of a service.
func stopped(ctx context.Context) error {
	cause := context.Cause(ctx)
	if signal, ok := errors.AsType[interrupted](cause); ok && signal.code() == exitTerminated {
		return nil
	}
	return cause
}

// command is one of azhost's commands.
type command struct {
	name     string
	operands []string // the values to complete its operand with
	create   func() runner
}

// runner is one run of a command.
type runner interface {
	flags(*flag.FlagSet)
	run(ctx context.Context, args arguments, p process) error
}

func commands() []command {
	return []command{
		{"token", resourceNames(), func() runner { return new(tokenRun) }},
		{"doctor", resourceNames(), func() runner { return new(doctorRun) }},
		{"fake", fakeNames(), func() runner { return new(fakeRun) }},
		{"completion", shells(), func() runner { return new(completionRun) }},
		{"version", nil, func() runner { return new(versionRun) }},
	}
}

func commandNames() []string {
	names := []string{"help"}
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// run runs the command that args name, and returns the exit status.
func run(ctx context.Context, args []string, p process) int {
	if len(args) == 0 {
		fmt.Fprint(p.err, page("azhost"))
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		return help(ctx, rest, p)
	case "--version", "-version":
		name = "version"
	case completeCommand:
		return complete(rest, p)
	}
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		r := c.create()
		flags := flag.NewFlagSet(name, flag.ContinueOnError)
		r.flags(flags)
		parsed, err := parse(flags, rest)
		if err == nil {
			err = r.run(ctx, parsed, p)
		}
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(p.out, page(name))
			return exitOK
		}
		return p.exit(ctx, name, err)
	}
	kind := "command"
	if strings.HasPrefix(name, "-") {
		kind = "option"
	}
	return p.exit(ctx, "", usagef("unknown %s %q%s", kind, name, didYouMean(name, commandNames())))
}

// help prints a page.
func help(ctx context.Context, args []string, p process) int {
	name := "azhost"
	if len(args) > 0 {
		name = strings.Join(args, " ")
	}
	if !slices.Contains(pageNames(), name) {
		return p.exit(ctx, "", usagef("no help for %q%s", name, didYouMean(name, pageNames())))
	}
	fmt.Fprint(p.out, page(name))
	return exitOK
}

// statusError is an error that determines the exit status.
type statusError struct {
	error
	code int
}

func (e statusError) Unwrap() error { return e.error }

// reportedError is an error that the command has already told the user about.
type reportedError struct{ error }

func (e reportedError) Unwrap() error { return e.error }

// exit tells the user about a command's error, and returns the exit status for it.
func (p process) exit(ctx context.Context, name string, err error) int {
	if err == nil {
		return exitOK
	}
	_, told := errors.AsType[reportedError](err)
	status, hasStatus := errors.AsType[statusError](err)
	signal, bySignal := errors.AsType[interrupted](context.Cause(ctx))
	switch {
	case told && hasStatus:
		return status.code // of a report or a child command, even if a signal ended it
	case bySignal:
		if !told {
			fmt.Fprintln(p.err, strings.TrimSpace("azhost "+name)+": "+signal.Error())
		}
		return signal.code()
	case !told:
		text := strings.TrimSpace("azhost "+name) + ": " + strings.TrimPrefix(err.Error(), "azhost: ")
		fmt.Fprint(p.err, p.err.wrap(text, "", ""))
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintf(p.err, "Run \"%s\" for usage.\n", strings.TrimSpace("azhost help "+name))
		return exitUsage
	}
	if hasStatus {
		return status.code
	}
	return exitFailed
}
