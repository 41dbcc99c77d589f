// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"flag"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPagesFitAScreen(t *testing.T) {
	main := page("azhost")
	for _, c := range commands() {
		require.Contains(t, pageNames(), c.name)
		require.Contains(t, main, "    "+c.name+" ")
	}
	for _, name := range pageNames() {
		text := page(name)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		require.LessOrEqual(t, len(lines), 40, name)
		for _, line := range lines {
			require.LessOrEqual(t, len(line), 80, line)
		}
		isCommand := slices.ContainsFunc(commands(), func(c command) bool { return c.name == name })
		switch {
		case name == "azhost":
			require.True(t, strings.HasPrefix(text, "azhost - "))
		case isCommand:
			require.True(t, strings.HasPrefix(text, "azhost "+name+" - "), name)
			require.Contains(t, text, "\nUSAGE\n    azhost "+name, name)
			require.Contains(t, text, "\nEXIT STATUS\n", name)
		default:
			require.True(t, strings.HasPrefix(text, "azhost help "+name+" - "), name)
			require.Regexp(t, `resources, kubectl, google, files`, main)
			require.Contains(t, main, name)
		}
	}
}

// TestPagesNameTheOptions checks that a page and its command have the same options.
func TestPagesNameTheOptions(t *testing.T) {
	for _, c := range commands() {
		flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
		c.create().flags(flags)
		for _, name := range optionNames(flags) {
			if name != "--resource" { // documented as the argument
				require.Regexp(t, "(?m)[ ,]"+name+"[ ,]", page(c.name), c.name)
			}
		}
		for _, found := range regexp.MustCompile(`(?m)(?:^    |, )(--?[a-z-]+)`).FindAllStringSubmatch(page(c.name), -1) {
			if found[1] != "--version" {
				require.Contains(t, optionNames(flags), found[1], c.name)
			}
		}
	}
	for _, form := range formNames() {
		require.Contains(t, page("token"), form)
	}
	for _, fault := range faultNames() {
		require.Contains(t, page("fake"), fault)
	}
	for _, r := range resources() {
		require.Regexp(t, `(?m)^    `+r.name+` `, page("resources"))
		for _, uri := range r.uris {
			require.Regexp(t, regexp.QuoteMeta(uri)+`[ ,\n]`, page("resources"))
		}
	}
	for _, r := range reasons() {
		require.Regexp(t, `[ ,]`+string(r)+`[,\n]`, page("doctor"))
	}
}
