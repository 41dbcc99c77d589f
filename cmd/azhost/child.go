// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// childGrace is how long a command has to end after a signal.
const childGrace = 10 * time.Second

// hostVariables are the variables by which clients find a host.
func hostVariables() []string {
	return []string{
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IDENTITY_API_VERSION", "IMDS_ENDPOINT",
		"MSI_ENDPOINT", "MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID", "AZURE_POD_IDENTITY_AUTHORITY_HOST",
	}
}

// runCommand runs a command with the host's variables, and no others that point to a host. The error has the
// command's exit status.
func runCommand(ctx context.Context, p process, command []string, environment map[string]string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.in, p.out.Writer, p.err.Writer // files, so that a terminal stays one
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(hostVariables(), name)
	})
	for name, value := range environment {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.WaitDelay = childGrace
	cmd.Cancel = func() error {
		signal, ok := errors.AsType[interrupted](context.Cause(ctx))
		if ok && signal.signal == os.Interrupt && p.err.terminal {
			return os.ErrProcessDone // the terminal has sent the signal to the command as well
		}
		if ok && cmd.Process.Signal(signal.signal) == nil {
			return os.ErrProcessDone
		}
		return cmd.Process.Kill()
	}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code := exit.ExitCode()
		if status, isUnix := exit.Sys().(syscall.WaitStatus); isUnix && status.Signaled() {
			code = 128 + int(status.Signal())
		}
		return statusError{reportedError{fmt.Errorf("%s: %w", command[0], err)}, code}
	}
	if errors.Is(err, exec.ErrNotFound) {
		return usagef("%q isn't a command on this machine", command[0])
	}
	return err
}
