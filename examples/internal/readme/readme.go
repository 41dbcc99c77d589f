// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package readme lets tests run the commands that the examples' README files show.
//
// A table's row shows a command where it has the cell `go run ./PROGRAM ARGUMENTS`; the next cell
// is what that prints, line by line as `line`<br>`line`, where … stands for any text within a
// line. Other cells may name flags as `-name`.
package readme

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Command is a command that a README file shows.
type Command struct {
	Program string   // directory, such as "./grpc"
	Args    []string // split at spaces
	Prints  string   // the lines, each with its end
	Flags   []string // that the row names elsewhere, such as "-url"
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
			c := Command{Program: words[0], Args: words[1:]}
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

// Matches reports whether output is what the README file says.
func (c Command) Matches(output string) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(c.Prints), "…", ".+")
	return regexp.MustCompile("^" + pattern + "$").MatchString(output)
}

// Run runs every command of ./README.md in directory, with programs that it builds there, and fails the test
// where one prints something else, or does not know a flag that its row names. It returns the
// programs. Output to stderr counts, and so may the exit status: a command that shows what a
// program asks for fails.
func Run(t *testing.T, directory string) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	commands, err := Commands(string(text))
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := []string{"build", "-buildvcs=false", "-o", bin + string(filepath.Separator)}
	var programs []string
	for _, c := range commands {
		programs = append(programs, c.Program)
	}
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = directory
		out, err := cmd.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), err
	}
	if out, err := run("go", append(build, programs...)...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, c := range commands {
		t.Run(strings.Join(append([]string{c.Program}, c.Args...), " "), func(t *testing.T) {
			program := filepath.Join(bin, path.Base(c.Program))
			if out, _ := run(program, c.Args...); !c.Matches(out) {
				t.Errorf("README.md says:\n%s\nit prints:\n%s", c.Prints, out)
			}
			if len(c.Flags) == 0 {
				return
			}
			help, _ := run(program, "-h")
			for _, flag := range c.Flags {
				if !regexp.MustCompile(`(?m)^  ` + flag + `( |$)`).MatchString(help) {
					t.Errorf("README.md names the flag %s, the program knows:\n%s", flag, help)
				}
			}
		})
	}
	return programs
}
