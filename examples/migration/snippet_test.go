// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package migration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// packages are the packages that snippets use, by name.
var packages = map[string]string{
	"adal":          "github.com/Azure/go-autorest/autorest/adal",
	"armresources":  "github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources",
	"auth":          "github.com/Azure/go-autorest/autorest/azure/auth",
	"autorest":      "github.com/Azure/go-autorest/autorest",
	"azcore":        "github.com/Azure/azure-sdk-for-go/sdk/azcore",
	"azhost":        "github.com/azhost/azhost",
	"azhostdefault": "github.com/azhost/azhost/azhostdefault",
	"azidentity":    "github.com/Azure/azure-sdk-for-go/sdk/azidentity",
	"context":       "context",
	"errors":        "errors",
	"http":          "net/http",
	"log":           "log",
	"os":            "os",
	"policy":        "github.com/Azure/azure-sdk-for-go/sdk/azcore/policy",
	"slog":          "log/slog",
	"time":          "time",
}

// snippets returns a page's snippets in a language.
func snippets(t *testing.T, page, language string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		found = append(found, match[1])
	}
	return found
}

// program makes a file of a snippet: its imports, then declarations or the body of a function.
func program(snippet string) string {
	var imports strings.Builder
	code := snippet
	if before, after, found := strings.Cut(snippet, "\n\n"); found && strings.HasPrefix(before, "import ") {
		imports.WriteString(before + "\n")
		code = after
	}
	for name, path := range packages {
		if regexp.MustCompile(`\b`+name+`\.[A-Z]`).MatchString(code) && !regexp.MustCompile(`[ /]`+name+`[" ]`).MatchString(imports.String()) {
			fmt.Fprintf(&imports, "import %s %q\n", name, path)
		}
	}
	if !regexp.MustCompile(`(?m)^(func|type) `).MatchString(code) {
		code = "func _() error {\n" + code + "\nreturn err\n}"
	}
	return "package snippet\n\n" + imports.String() + "\n" + code
}

// variables are what the snippets use of the program around them.
const variables = `package snippet

import "context"
import "net/http"

var (
	ctx          context.Context
	err          error
	req          *http.Request
	status       struct{ Reason string }
	subscription string
)
`

func TestGo(t *testing.T) {
	t.Parallel()
	code := append(snippets(t, "../MIGRATION.md", "go"), snippets(t, "../kubernetes/README.md", "go")...)
	require.GreaterOrEqual(t, len(code), 22)
	for i, snippet := range code {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			text := program(snippet)
			said := compile(t, text)
			require.Empty(t, said, "%s\n%s", said, text)
		})
	}
	require.Contains(t, compile(t, program("cred, err := azhost.NewCredential(nil)\n")), "undefined: azhost.NewCredential")
}

// compile returns the compiler's errors, except that the snippet leaves it to the reader to use a variable.
func compile(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "snippet.go"), filepath.Join(dir, "variables.go")}
	require.NoError(t, os.WriteFile(files[0], []byte(text), 0o600))
	require.NoError(t, os.WriteFile(files[1], []byte(variables), 0o600))
	said, err := exec.CommandContext(t.Context(), "go", append([]string{"build", "-gcflags=-e"}, files...)...).CombinedOutput()
	var errs strings.Builder
	for line := range strings.Lines(string(said)) {
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "declared and not used") {
			errs.WriteString(line)
		}
	}
	if err != nil && len(said) == 0 {
		t.Fatal(err)
	}
	return errs.String()
}
