// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package program

import (
	"bytes"
	"flag"
	"testing"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, arg, err, out string
	}{
		{"help", "-h", "help requested", "try does it.\n\nFlags:\n  -name string\n    \tits name\n"},
		{"long help", "--help", "help requested", "try does it.\n\nFlags:\n  -name string\n    \tits name\n"},
		{"unknown flag", "-other", "flag provided but not defined: -other; run try -h for help", ""},
		{"extra argument", "other", `unexpected argument "other"; run try -h for help`, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			flags := flag.NewFlagSet("try", flag.ContinueOnError)
			flags.String("name", "", "its name")
			var out bytes.Buffer
			require.ErrorContains(t, Parse(flags, &out, []string{row.arg}, "does it."), row.err)
			require.Equal(t, row.out, out.String())
		})
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	flags := flag.NewFlagSet("try", flag.ContinueOnError)
	machine := Machine(flags)
	require.NoError(t, flags.Parse(nil))
	require.Zero(t, *machine)
	require.NoError(t, flags.Parse([]string{"-endpoint", "http://127.0.0.1:1/token"}))
	require.Equal(t, azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: "http://127.0.0.1:1/token"}, *machine)
}
