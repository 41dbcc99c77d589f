// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azure

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the migration page shows as the code after a change compiles, but for what it leaves to the
// reader: to use the last variable.
func TestMigration(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../MIGRATION.md")
	require.NoError(t, err)
	var program strings.Builder
	program.WriteString(`package main

import (
	"context"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/azhost/azhost"
)

var _ azcore.TokenCredential = (*azhost.ManagedIdentityCredential)(nil)
var ctx context.Context
var req *http.Request
var subscription string

func main() {}
`)
	changes := strings.Split(string(page), "\nAfter")[1:]
	require.Len(t, changes, 6)
	for i, change := range changes {
		_, code, _ := strings.Cut(change, "```go\n")
		code, _, ok := strings.Cut(code, "```")
		require.True(t, ok, "%s", change)
		if imports, rest, ok := strings.Cut(code, "\n\n"); ok && strings.HasPrefix(imports, "import ") {
			code = strings.ReplaceAll(rest, "azidentity.", "azhost.") // the renamed import
		}
		fmt.Fprintf(&program, "\nfunc after%d() error {\n%s\nreturn err\n}\n", i, code)
	}
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, []byte(program.String()), 0o600))
	said, err := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-e", "-o", os.DevNull, file).CombinedOutput()
	if err != nil {
		require.Contains(t, string(said), "declared and not used", "%v", err)
	}
	for line := range strings.Lines(string(said)) {
		if strings.HasPrefix(line, "#") || strings.Contains(line, "declared and not used") {
			continue
		}
		t.Errorf("%s\n%s", line, program.String())
	}
}
