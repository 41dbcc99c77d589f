// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package readme lets tests run the commands that the examples' README files show.
//
// A table's row shows a command if one of its cells is `go run ./PROGRAM ARGUMENTS` or, for a program that is
// a separate module, `go run -C MODULE . ARGUMENTS`. The next cell is the command's output, line by line as
// `line`<br>`line`, where … stands for any text within a line. Other cells may name flags as `-name`.
package readme

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Command is a command that a README file shows.
type Command struct {
	Module  string   // directory, such as "cosmos"; "" is the README file's module
	Program string   // directory in the module, such as "./grpc"
	Args    []string // split at spaces
	Prints  string   // the expected output, each line with its end
	Flags   []string // in the row's other cells, such as "-url"
}

// Commands returns the commands in the tables of a README file's text.
func Commands(text string) ([]Command, error) {
	var commands []Command
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		for i, cell := range cells {
			command, found := strings.CutPrefix(strings.Trim(strings.TrimSpace(cell), "`"), "go run ")
			if !found || !strings.HasPrefix(line, "|") {
				continue
			}
			words := strings.Fields(command)
			if len(words) == 0 || i+1 == len(cells) {
				return nil, fmt.Errorf("readme: not a command and what it prints: %s", line)
			}
			var c Command
			if words[0] == "-C" && len(words) > 2 {
				c.Module, words = words[1], words[2:]
			}
			c.Program, c.Args = words[0], words[1:]
			for _, part := range strings.Split(cells[i+1], "<br>") {
				c.Prints += strings.Trim(strings.TrimSpace(part), "`") + "\n"
			}
			for _, other := range cells[i+2:] {
				for _, flag := range regexp.MustCompile("[` ](-[a-z][a-z-]*)").FindAllStringSubmatch(other, -1) {
					c.Flags = append(c.Flags, flag[1])
				}
			}
			commands = append(commands, c)
			break
		}
	}
	return commands, nil
}

// Matches reports whether output is the output in the README file.
func (c Command) Matches(output string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(c.Prints), "…", ".+")
	return regexp.MustCompile("^" + pattern + "$").MatchString(output)
}

// Run builds the programs of a README file's commands for a module, runs the commands in the current
// directory, which is the module's, and returns the programs. The test fails if a program has no command, a
// command prints something else, including to stderr, or has the wrong exit status, -h doesn't print the
// flags that the program's rows name, or an unexpected argument isn't an error. The exit status must be 0,
// unless the README file shows an error.
func Run(t *testing.T, file, module string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	commands, err := Commands(string(text))
	require.NoError(t, err)
	commands = slices.DeleteFunc(commands, func(c Command) bool { return c.Module != module })
	require.NotEmpty(t, commands)

	var programs []string
	flags := make(map[string][]string) // by program
	for _, c := range commands {
		if !slices.Contains(programs, c.Program) {
			programs = append(programs, c.Program)
		}
		flags[c.Program] = append(flags[c.Program], c.Flags...)
	}
	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	for _, main := range mains {
		directory := filepath.Dir(main)
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err != nil { // the same module
			require.Contains(t, programs, "./"+directory)
		}
	}

	bin := t.TempDir() + string(filepath.Separator)
	build := []string{"build", "-buildvcs=false", "-ldflags=-s -w", "-o", bin}
	said, err := exec.CommandContext(t.Context(), "go", append(build, programs...)...).CombinedOutput()
	require.NoError(t, err, "%s", said)
	here, err := os.Getwd()
	require.NoError(t, err)
	run := func(program string, args ...string) (string, error) {
		binary := bin + filepath.Base(filepath.Join(here, program))
		said, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
		return string(said), err
	}
	for _, c := range commands {
		t.Run(strings.Join(append([]string{c.Program}, c.Args...), " "), func(t *testing.T) {
			said, err := run(c.Program, c.Args...)
			require.True(t, c.Matches(said), "%s says:\n%s\nthe program prints:\n%s", file, c.Prints, said)
			require.Equal(t, strings.HasPrefix(c.Prints, path.Base(c.Program)+": "), err != nil, "status: %v", err)
		})
	}
	for _, program := range programs {
		t.Run(program+" -h", func(t *testing.T) {
			help, err := run(program, "-h")
			require.NoError(t, err, "%s", help)
			for _, flag := range flags[program] {
				require.Regexp(t, `(?m)^  `+flag+`( |$)`, help)
			}
		})
		for _, arg := range []string{"-no-such-flag", "no-such-argument"} {
			t.Run(program+" "+arg, func(t *testing.T) {
				said, err := run(program, arg)
				var failed *exec.ExitError
				require.ErrorAs(t, err, &failed)
				require.Equal(t, 2, failed.ExitCode(), said)
				require.Contains(t, said, arg)
			})
		}
	}
	return programs
}
