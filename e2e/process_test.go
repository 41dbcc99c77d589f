// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/azhost/azhost/e2e/internal/netns"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for output.
const patience = time.Minute

// binaries is where the programs were built.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "azhost-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir, "./program", "./hosts")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n%s", build, err, output)
		return 1
	}
	binaries = dir
	return m.Run()
}

// process is a running program whose lines of output are of type L.
type process[L any] struct {
	t      *testing.T
	in     io.WriteCloser
	lines  chan L
	errors string // path of its standard error
}

// start starts one of our programs on a machine. The test's cleanup ends it.
func start[L any](m *machine, environment []string, name string, arguments ...string) *process[L] {
	t := m.t
	t.Helper()
	outside, err := netns.Current()
	require.NoError(t, err)
	command := m.exec(environment, filepath.Join(binaries, name), append([]string{"-outside", outside}, arguments...)...)
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer stderr.Close()
	command.Stderr = stderr
	in, err := command.StdinPipe()
	require.NoError(t, err)
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())

	p := &process[L]{t: t, in: in, lines: make(chan L, 1000), errors: stderr.Name()}
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var l L
			if json.Unmarshal(lines.Bytes(), &l) != nil {
				return // the test then fails, because a line is missing
			}
			p.lines <- l
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		_ = command.Process.Kill()
		for range p.lines { // all must be read before Wait
		}
		_ = command.Wait()
	})
	return p
}

// write writes a line to the process.
func (p *process[L]) write(line string) {
	p.t.Helper()
	_, err := io.WriteString(p.in, line+"\n")
	require.NoError(p.t, err, "%s", p.said())
}

// next returns the next line of output.
func (p *process[L]) next() L {
	p.t.Helper()
	select {
	case l, ok := <-p.lines:
		require.True(p.t, ok, "the process has ended: %s", p.said())
		return l
	case <-time.After(patience):
		require.FailNow(p.t, "no line of output", "%s", p.said())
		panic("unreachable")
	}
}

// said returns what the process wrote to standard error.
func (p *process[L]) said() string {
	text, err := os.ReadFile(p.errors)
	require.NoError(p.t, err)
	return string(text)
}
