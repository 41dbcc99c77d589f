// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// repository has the library's source and the page.
const repository = "../../.."

func troubleshootingPage(t *testing.T) string {
	page, err := os.ReadFile(filepath.Join(repository, "TROUBLESHOOTING.md"))
	require.NoError(t, err)
	return strings.ReplaceAll(string(page), "\r\n", "\n")
}

// trouble is a failure that has a message on the page.
type trouble struct {
	here   bool // this system can make it; otherwise the message must at least be in the source
	make   failure
	socket bool // it needs a socket, on which a bubble can't wait
}

func here(make failure) *trouble            { return &trouble{here: true, make: make} }
func only(here bool, make failure) *trouble { return &trouble{here: here, make: make} }
func overASocket(make failure) *trouble     { return &trouble{here: true, make: make, socket: true} }

// elsewhere is a failure that no test can make, such as one that needs the agent's real directory.
var elsewhere = &trouble{}

// TestTroubleshootingRows checks that the page has a row for every message that TestTroubleshooting makes
// the library return, and no others. A message that this system can't make must be in the source.
func TestTroubleshootingRows(t *testing.T) {
	producers := troubles()
	rows := map[string]bool{}
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(troubleshootingPage(t)) {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, ""), " | ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		require.Len(t, cells, 3, line)
		for _, message := range code.FindAllStringSubmatch(cells[0], -1) {
			require.False(t, rows[message[1]], "two rows for %s", message[1])
			rows[message[1]] = true
			require.NotNil(t, producers[message[1]], "nothing produces %s", message[1])
		}
	}
	source := sourceOf(t)
	for message, p := range producers {
		require.True(t, rows[message], "not on the page: %s", message)
		if !p.here {
			require.Contains(t, source, message)
		}
	}
}

// TestTroubleshooting makes the library return every message in TROUBLESHOOTING.md. It makes each failure
// twice and checks that the text is the same.
func TestTroubleshooting(t *testing.T) {
	if !asOrdinaryUser(t) {
		return
	}
	plain := regexp.MustCompile(`[^A-Za-z0-9]+`) // the subtest's name is part of the key directory's
	for message, p := range troubles() {
		if !p.here {
			continue // in TestTroubleshootingRows
		}
		t.Run(plain.ReplaceAllString(message, "-"), func(t *testing.T) {
			for _, name := range append(hostVariables, "KUBERNETES_SERVICE_HOST") {
				t.Setenv(name, "")
			}
			var texts []string
			happen := func(t *testing.T) {
				dirs := regexp.MustCompile(regexp.QuoteMeta(filepath.Dir(t.TempDir())) + `[/\\]\d+`)
				err := p.make(&occasion{t, len(texts) + 1})
				require.ErrorContains(t, err, message)
				require.True(t, strings.HasPrefix(err.Error(), "azhost: "), err.Error())
				texts = append(texts, dirs.ReplaceAllString(err.Error(), "DIRECTORY"))
			}
			for range 2 {
				if p.socket {
					happen(t)
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(time.Duration(len(texts)) * 17 * time.Hour) // at another time of another day
					happen(t)
					time.Sleep(5 * time.Minute) // for an attempt that is still under way
				})
			}
			require.Equal(t, texts[0], texts[1], "the same failure has the same text")
		})
	}
}

// TestTroubleshootingHasEveryAdvice checks that the page has all texts of package advice.
func TestTroubleshootingHasEveryAdvice(t *testing.T) {
	page := troubleshootingPage(t)
	source, err := os.ReadFile(filepath.Join(repository, "internal/advice/advice.go"))
	require.NoError(t, err)
	file, err := parser.ParseFile(gotoken.NewFileSet(), "advice.go", source, 0)
	require.NoError(t, err)
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !ast.IsExported(spec.Names[0].Name) {
			return true
		}
		for _, value := range spec.Values {
			if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == gotoken.STRING {
				text, err := strconv.Unquote(literal.Value)
				require.NoError(t, err)
				require.Contains(t, page, text, spec.Names[0].Name)
				found++
			}
		}
		return true
	})
	require.Greater(t, found, 25)
}

// TestTroubleshootingAnchors checks that the anchors, to which programs and pages link, don't change.
func TestTroubleshootingAnchors(t *testing.T) {
	page := troubleshootingPage(t)
	var anchors []string
	for _, m := range regexp.MustCompile(`<a id="([^"]+)"></a>`).FindAllStringSubmatch(page, -1) {
		anchors = append(anchors, m[1])
	}
	require.Equal(t, strings.Fields(`
		not-azure imds-blocked foreign-response proxy host-down arc-agent-stopped host-failing throttled timeout
		no-identity identity-not-assigned several-identities identity-deleted wrong-resource resource-not-found
		denied access-denied arc-key-permission key-unreadable key-missing arc-key-challenge agent-disconnected
		request-failed platform-variables environment options unusable-response`), anchors)
	for _, m := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(page, -1) {
		require.Contains(t, anchors, m[1])
	}
	require.Equal(t, strings.Count(page, "\n## "), strings.Count(page, "</a>\n## "), "a section without an anchor")
	require.NotContains(t, strings.ToLower(page), "as above")
}

// sourceOf returns the library's source, without its tests.
func sourceOf(t *testing.T) string {
	var b strings.Builder
	for _, pattern := range []string{"*.go", "internal/*/*.go"} {
		paths, err := filepath.Glob(filepath.Join(repository, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") || filepath.Base(filepath.Dir(path)) == "hosttest" {
				continue
			}
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			b.Write(text)
		}
	}
	return b.String()
}
