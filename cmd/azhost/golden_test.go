// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// varying has what differs from run to run, and its replacement in golden files.
var varying = []struct {
	found *regexp.Regexp
	put   string
}{
	{regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]+`), "TOKEN"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "TIME"},
	{regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d`), "TIME"},
	{regexp.MustCompile(`(127\.0\.0\.1|localhost):\d{4,}(/[a-z2-7]{10}\b)?`), "$1:PORT"},
	{regexp.MustCompile(`(IDENTITY_HEADER|MSI_SECRET|IDENTITY_SERVER_THUMBPRINT)='\w+'`), "$1='SECRET'"},
	{regexp.MustCompile(`(responds in|after) [\d.]+m?s`), "$1 DURATION"},
	{regexp.MustCompile(`"expiration_time": \d+`), `"expiration_time": 1800000000`},
	{regexp.MustCompile(`issue time is \S+ ahead`), "issue time is DURATION ahead"},
	{regexp.MustCompile(`\((\d+h\d+m)\d+s\)`), "($1)"},
	{regexp.MustCompile(`C:\\+ProgramData\\+AzureConnectedMachineAgent\\+Tokens`), "/var/opt/azcmagent/tokens"},
	{regexp.MustCompile(`x-ms-request-id \\?"[^"]+"`), "x-ms-request-id ID"},
	{regexp.MustCompile(`/KEYS(?:/|\\{4}|\\{2})`), "/KEYS/"},
	{regexp.MustCompile(`[/\\]+[0-9a-f]{8}-[0-9a-f-]{27}\.key`), "/NAME.key"},
}

// normalized replaces what differs from run to run, and the directories.
func normalized(text string, directories ...string) string {
	for _, dir := range directories {
		inJSON := strings.Trim(strconv.Quote(dir), `"`)
		quotedInJSON := strings.Trim(strconv.Quote(inJSON), `"`)
		text = strings.NewReplacer(quotedInJSON, "/KEYS", inJSON, "/KEYS", dir, "/KEYS").Replace(text)
	}
	for _, v := range varying {
		text = v.found.ReplaceAllString(text, v.put)
	}
	return text
}

// requireGolden compares with a golden file, or writes it if AZHOST_UPDATE_GOLDEN is set.
func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if os.Getenv("AZHOST_UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, strings.ReplaceAll(string(want), "\r\n", "\n"), got)
}

// requireForms compares a golden file with what write writes to terminals of 80 and 120 columns and to a
// pipe. In a pipe, COLUMNS changes only the line breaks, and there are no colors.
func requireForms(t *testing.T, name string, write func(c console, verbose bool)) {
	t.Helper()
	form := func(c console, verbose bool) string {
		var b bytes.Buffer
		c.Writer = &b
		write(c, verbose)
		return b.String()
	}
	var golden strings.Builder
	for _, width := range []int{80, 120} {
		colored := form(console{terminal: true, color: true, width: width}, false)
		fmt.Fprintf(&golden, "== terminal, %d columns\n%s", width, strings.ReplaceAll(colored, "\x1b", "^["))
		plain := form(console{width: width}, false)
		require.Equal(t, regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored, ""), plain)
		for line := range strings.Lines(plain) {
			if utf8.RuneCountInString(line) > width+1 { // a word, or a command to copy
				require.True(t, strings.Count(strings.TrimSpace(line), " ") == 0 || regexp.MustCompile(`^(  )?(az|azhost|curl|sudo|Add-LocalGroupMember|Get-Content|More:) `).MatchString(line), line)
			}
		}
	}
	pipe, verbose := form(console{}, false), form(console{}, true)
	require.NotContains(t, pipe, "\x1b")
	fmt.Fprintf(&golden, "== pipe\n%s== pipe, verbose\n%s", pipe, verbose)
	requireGolden(t, name, golden.String())
}
