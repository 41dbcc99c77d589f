// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package kubectl

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

// TestMain runs kubectl in the processes that tests start.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_KUBECTL") != "" {
		if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
			println(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// install puts azhost and kubectl on a PATH, before the system's programs.
func install(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "azhost"), "github.com/azhost/azhost/cmd/azhost").CombinedOutput()
	require.NoError(t, err, "%s", out)
	script := "#!/bin/sh\nTEST_AS_KUBECTL=1 exec '" + os.Args[0] + "' \"$@\"\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kubectl"), []byte(script), 0o755))
	return dir + string(os.PathListSeparator) + os.Getenv("PATH")
}

// cluster is an API server that responds to authenticated requests with the identity's object ID.
func cluster(t *testing.T, host *azhosttest.AppService) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		token, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
		claims, err := host.Verify(token)
		if err != nil || claims["aud"] != "6dae42f8-4368-4678-94ff-3960e28e3630" {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"oid": claims["oid"]})
	}))
	t.Cleanup(server.Close)
	return server
}

// example is kubeconfig.yaml for a server, with a version of the plugin's API.
func example(t *testing.T, server *httptest.Server, version string) string {
	t.Helper()
	text, err := os.ReadFile("kubeconfig.yaml")
	require.NoError(t, err)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	path := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(path, []byte(strings.NewReplacer(
		"https://CLUSTER.hcp.REGION.azmk8s.io:443", server.URL,
		"CERTIFICATE", base64.StdEncoding.EncodeToString(certificate),
		"client.authentication.k8s.io/v1", "client.authentication.k8s.io/"+version,
	).Replace(string(text))), 0o600))
	return path
}

func TestKubectlSignsIn(t *testing.T) {
	path := install(t)
	host := azhosttest.NewAppService(t)
	host.Setenv(t)
	server := cluster(t, host)
	kubectl := func(config, command string) (string, error) {
		c := exec.CommandContext(t.Context(), "sh", "-c", command)
		c.Env = append(os.Environ(), "PATH="+path, "KUBECONFIG="+config, "HOME="+t.TempDir())
		out, err := c.CombinedOutput()
		return string(out), err
	}
	want := `{"oid":"` + azhosttest.SystemAssigned().ObjectID + `"}`
	for _, version := range []string{"v1", "v1beta1"} {
		out, err := kubectl(example(t, server, version), "kubectl get --raw /version")
		require.NoError(t, err, out)
		require.JSONEq(t, want, out)
	}
	host.RequireRequests(t, 2)

	// The commands of the help page and of the README add a user that works.
	for _, page := range []string{"../../cmd/azhost/help/kubectl.txt", "README.md"} {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		command := regexp.MustCompile(`(?m)^ *kubectl config set-credentials (?:.*\\\n)+.*$`).FindString(string(text))
		require.NotEmpty(t, command, page)
		config := example(t, server, "v1")
		out, err := kubectl(config, "kubectl config unset users && "+command+" && kubectl get --raw /version")
		require.NoError(t, err, out)
		require.Contains(t, out, want)
	}

	// A failure says why.
	host.SetIdentities()
	out, err := kubectl(example(t, server, "v1"), "kubectl get --raw /version")
	require.Error(t, err)
	require.Contains(t, out, "azhost token: App Service")
	require.Contains(t, out, "exit code 3")
}

// TestHelpPageMatchesExample checks that the help page quotes the example.
func TestHelpPageMatchesExample(t *testing.T) {
	example, err := os.ReadFile("kubeconfig.yaml")
	require.NoError(t, err)
	_, users, found := strings.Cut(string(example), "users:\n")
	require.True(t, found)
	page, err := os.ReadFile("../../cmd/azhost/help/kubectl.txt")
	require.NoError(t, err)
	require.Contains(t, regexp.MustCompile(`(?m)^    `).ReplaceAllString(string(page), ""), "users:\n"+users)
}
