// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package program

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain runs an example in the processes that tests start.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_EXAMPLE") == "" {
		os.Exit(m.Run())
	}
	Main("try", func(ctx context.Context, out io.Writer, args []string) error {
		flags := flag.NewFlagSet("try", flag.ContinueOnError)
		wait := flags.Bool("wait", false, "wait for an interrupt")
		if err := Parse(flags, out, args, "does it."); err != nil || !*wait {
			return errors.Join(err, os.ErrNotExist)
		}
		fmt.Fprintln(out, "waiting")
		<-ctx.Done()
		return ctx.Err()
	})
}

func example(t *testing.T, args ...string) *exec.Cmd {
	command := exec.CommandContext(t.Context(), os.Args[0], args...)
	command.Env = append(os.Environ(), "TEST_AS_EXAMPLE=1")
	return command
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, arg string
		status    int
	}{
		{"help", "-h", 0},
		{"failure", "-wait=false", 1},
		{"unknown flag", "-other", 2},
		{"extra argument", "other", 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			command := example(t, row.arg)
			_ = command.Run()
			require.Equal(t, row.status, command.ProcessState.ExitCode())
		})
	}
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	command := example(t, "-wait")
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.NoError(t, command.Process.Signal(os.Interrupt))
	_ = command.Wait()
	require.Equal(t, 130, command.ProcessState.ExitCode())
}
