// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSecurityPolicyNamesItsTests: every row of the threat model links to tests, and they exist.
func TestSecurityPolicyNamesItsTests(t *testing.T) {
	policy, err := os.ReadFile("SECURITY.md")
	require.NoError(t, err)
	link := regexp.MustCompile("\\[`((?:Test|Fuzz)\\w+)`\\]\\(([\\w/]+_test\\.go)\\)")
	rows := 0
	for line := range strings.Lines(string(policy)) {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| threat ") || strings.HasPrefix(line, "| --- ") {
			continue
		}
		rows++
		links := link.FindAllStringSubmatch(line, -1)
		require.NotEmpty(t, links, "no test: %s", line)
		for _, l := range links {
			source, err := os.ReadFile(l[2])
			require.NoError(t, err, line)
			require.Contains(t, string(source), "\nfunc "+l[1]+"(", "%s has no %s", l[2], l[1])
		}
		require.Equal(t, strings.Count(line, "`Test")+strings.Count(line, "`Fuzz"), len(links), "a test without a link: %s", line)
	}
	require.Greater(t, rows, 20)
}
