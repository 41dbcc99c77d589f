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

// TestPagesLinkToTests checks that every row of the threat model and of the comparison links to tests that
// exist.
func TestPagesLinkToTests(t *testing.T) {
	link := regexp.MustCompile(`\[([^\]]+)\]\((?:\.\./)?([\w/]+_test\.go)\)`)
	name := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
	for page, least := range map[string]int{"SECURITY.md": 30, "docs/comparison.md": 12} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		rows := 0
		for line := range strings.Lines(string(text)) {
			claims := page == "SECURITY.md" || strings.Contains(line, "_test.go)")
			if !claims || !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| threat ") || strings.HasPrefix(line, "| --- ") {
				continue
			}
			rows++
			linked := 0
			for _, l := range link.FindAllStringSubmatch(line, -1) {
				source, err := os.ReadFile(l[2])
				require.NoError(t, err, line)
				for _, n := range name.FindAllStringSubmatch(l[1], -1) {
					linked++
					require.Contains(t, string(source), "\nfunc "+n[1]+"(", "%s has no %s", l[2], n[1])
				}
			}
			require.NotZero(t, linked, "no test: %s", line)
			require.Len(t, name.FindAllString(line, -1), linked, "a test without a link: %s", line)
		}
		require.GreaterOrEqual(t, rows, least, page)
	}
}
