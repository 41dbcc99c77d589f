// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package readme

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommands(t *testing.T) {
	commands, err := Commands("# Title\n\ngo run ./prose | is not a row | nor this\n\n" +
		"| want | command | prints | on Azure |\n| --- | --- | --- | --- |\n" +
		"| one | `go run ./a -x 1` | `first …`<br>`second.` | `-url https://h-o.st`, or `-long-name` |\n" +
		"| module | `go run -C b . -y` | `prints` | `b` |\n" +
		"| none | [b](b) | `go` | |\n")
	require.NoError(t, err)
	require.Equal(t, []Command{
		{Program: "./a", Args: []string{"-x", "1"}, Prints: "first …\nsecond.\n", Flags: []string{"-url", "-long-name"}},
		{Module: "b", Program: ".", Args: []string{"-y"}, Prints: "prints\n"},
	}, commands)

	_, err = Commands("| one | `go run ./a` |\n")
	require.ErrorContains(t, err, "not a command and what it prints")
	_, err = Commands("| one | `go run ` | `x` |\n")
	require.ErrorContains(t, err, "not a command and what it prints")
}

func TestMatches(t *testing.T) {
	c := Command{Prints: "first …\nsecond.\n"}
	for _, test := range []struct {
		name, output string
		want         bool
	}{
		{"as it says", "first x y\nsecond.\n", true},
		{"nothing for …", "first \nsecond.\n", false},
		{"a line too few", "first x\n", false},
		{"a line too many", "first x\nsecond.\nthird\n", false},
		{"… spans no lines", "first x\ny\nsecond.\n", false},
		{". is a full stop", "first x\nsecond!\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, c.Matches(test.output))
		})
	}
}
