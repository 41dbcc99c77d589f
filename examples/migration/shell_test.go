// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package migration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestShell(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("the snippets need ", tool)
		}
	}
	bin := t.TempDir()
	said, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, "azhost"), "github.com/azhost/azhost/cmd/azhost").CombinedOutput()
	require.NoError(t, err, "%s", said)

	vm, arc, app := azhosttest.NewVM(t), azhosttest.NewArc(t), azhosttest.NewAppService(t)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		_, _ = io.WriteString(w, token)
	}))
	defer service.Close()
	// The real addresses become the fakes', so that no snippet leaves this machine.
	addresses := strings.NewReplacer("169.254.169.254", address(t, vm.Endpoint()), "127.0.0.1:40342", address(t, arc.Endpoint()))

	code := snippets(t, "../MIGRATION.md", "sh")
	hosts := []interface {
		Verify(string) (map[string]any, error)
	}{vm, arc, app, app, app} // in the page's order
	require.Len(t, code, len(hosts))
	for i, snippet := range code {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			command := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", addresses.Replace(snippet))
			require.NotContains(t, command.String(), "169.254.169.254")
			command.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "URL=" + service.URL}
			for name, value := range app.Environment() {
				command.Env = append(command.Env, name+"="+value)
			}
			var stderr strings.Builder
			command.Stderr = &stderr
			token, err := command.Output()
			require.NoError(t, err, "%s\n%s", snippet, stderr.String())
			claims, err := hosts[i].Verify(strings.TrimSpace(string(token)))
			require.NoError(t, err, "%s", snippet)
			require.Equal(t, "https://vault.azure.net", claims["aud"])
		})
	}
}

// address returns the host and port of a URL.
func address(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u.Host
}
