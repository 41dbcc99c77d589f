// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"embed"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// The page and the library's source are embedded because an ordinary user may not be able to read
// the directory that root tests in.
//
//go:embed TROUBLESHOOTING.md *.go internal
var troubleshooting embed.FS

// trouble makes the library produce a message.
type trouble struct {
	here bool // this system can; elsewhere the message must at least be in the source
	make func(t *testing.T) error
}

// TestTroubleshooting makes the library produce every message in TROUBLESHOOTING.md, and nothing
// that is not there.
func TestTroubleshooting(t *testing.T) {
	if !asOrdinaryUser(t) {
		return
	}
	page, err := troubleshooting.ReadFile("TROUBLESHOOTING.md")
	require.NoError(t, err)
	producers := troubles()
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| .+ \\| .+ \\|\r?$").FindAllStringSubmatch(string(page), -1) {
		require.False(t, rows[row[1]], "two rows for %s", row[1])
		rows[row[1]] = true
		require.Contains(t, producers, row[1], "a row that nothing produces")
	}
	for message := range producers {
		require.Contains(t, rows, message, "a message without a row")
	}
	source := sourceOf(t)
	plain := regexp.MustCompile(`[^A-Za-z0-9]+`) // the name goes into that of the key directory
	for message, p := range producers {
		t.Run(plain.ReplaceAllString(message, "-"), func(t *testing.T) {
			for _, name := range hostVariables {
				t.Setenv(name, "")
			}
			if !p.here {
				require.Contains(t, source, message)
				return
			}
			synctest.Test(t, func(t *testing.T) {
				err := p.make(t)
				require.ErrorContains(t, err, message)
				require.True(t, strings.HasPrefix(err.Error(), "azhost: "), err.Error())
			})
		})
	}
}

// sourceOf returns the library's source, without its tests.
func sourceOf(t *testing.T) string {
	var b strings.Builder
	err := fs.WalkDir(troubleshooting, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := troubleshooting.ReadFile(path)
		b.Write(text)
		return err
	})
	require.NoError(t, err)
	return b.String()
}
