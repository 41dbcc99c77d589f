// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// scripts make shells ask azhost for completions.
//
//go:embed completion
var scripts embed.FS

// completeCommand is the command that the scripts run. It prints the completions of the last word.
const completeCommand = "__complete"

// shells are the operands of "azhost completion".
func shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

// completionRun is one run of "azhost completion".
type completionRun struct{}

func (*completionRun) flags(*flag.FlagSet) {}

func (*completionRun) run(_ context.Context, args arguments, p process) error {
	name, err := args.one()
	switch {
	case err != nil:
		return err
	case name == "":
		return usagef("the shell is missing; use one of %s", strings.Join(shells(), ", "))
	}
	if err := oneOf("", name, "a shell with completion", shells()); err != nil {
		return err
	}
	script, err := scripts.ReadFile("completion/" + name)
	if err != nil {
		return err
	}
	_, err = p.out.Write(script)
	return err
}

// complete prints the words that can replace the last one, one per line.
func complete(words []string, p process) int {
	if len(words) == 0 {
		return exitUsage
	}
	last := words[len(words)-1]
	for _, c := range candidates(words[:len(words)-1], last) {
		if strings.HasPrefix(c, last) {
			fmt.Fprintln(p.out, c)
		}
	}
	return exitOK
}

// candidates returns the words that can follow those before, if the next one begins with last.
func candidates(before []string, last string) []string {
	if len(before) == 0 {
		return append(commandNames(), "--version")
	}
	if before[0] == "help" {
		return pageNames()
	}
	i := slices.IndexFunc(commands(), func(c command) bool { return c.name == before[0] })
	if i < 0 || slices.Contains(before, "--") {
		return nil
	}
	c := commands()[i]
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.create().flags(flags)
	if name := before[len(before)-1]; strings.HasPrefix(name, "-") {
		if f := flags.Lookup(strings.TrimLeft(name, "-")); f != nil && !isBool(f) {
			return values(f.Name)
		}
	}
	if strings.HasPrefix(last, "-") {
		return append(optionNames(flags), "--help")
	}
	return c.operands
}

// values returns the known values of an option.
func values(name string) []string {
	switch name {
	case "o", "output":
		return formNames()
	case "source":
		return sources()
	case "cloud":
		return cloudNames()
	case "shell":
		return fakeShells()
	case "fault":
		return faultNames()
	case "resource":
		return resourceNames()
	}
	return nil
}
