// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package googlecloud

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloud.google.com/go/auth"
	"cloud.google.com/go/auth/credentials"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// exchange is a security token service that accepts the tokens of a host.
func exchange(t *testing.T, host *azhosttest.AppService) *httptest.Server {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		claims, err := host.Verify(req.PostFormValue("subject_token"))
		if err != nil || claims["aud"] != "api://APP_ID" || req.PostFormValue("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": "for " + claims["sub"].(string), "token_type": "Bearer", "expires_in": 3600,
			"issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
		})
	}))
	t.Cleanup(server.Close)
	return server
}

// install puts azhost on the PATH.
func install(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "azhost"), "github.com/azhost/azhost/cmd/azhost").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1")
}

func TestGoogleLibraryRunsAzhost(t *testing.T) {
	install(t)
	host := azhosttest.NewAppService(t)
	host.Setenv(t)
	server := exchange(t, host)
	token := func(edit ...string) (*auth.Token, error) {
		text, err := os.ReadFile("credentials.json")
		require.NoError(t, err)
		config := strings.NewReplacer(append(edit, "https://sts.googleapis.com", server.URL)...).Replace(string(text))
		creds, err := credentials.NewCredentialsFromJSON(credentials.ExternalAccount, []byte(config), &credentials.DetectOptions{
			Scopes: []string{"https://www.googleapis.com/auth/cloud-platform"}, Client: server.Client(),
		})
		require.NoError(t, err)
		return creds.Token(t.Context())
	}
	got, err := token()
	require.NoError(t, err)
	require.Equal(t, "for "+azhosttest.SystemAssigned().ObjectID, got.Value)
	require.Equal(t, 1, host.RequestCount())

	// With a file, the library reads the token that azhost wrote.
	file := filepath.Join(t.TempDir(), "token")
	for range 2 {
		got, err = token(`"timeout_millis"`, `"output_file": "`+file+`", "timeout_millis"`)
		require.NoError(t, err)
		require.Equal(t, "for "+azhosttest.SystemAssigned().ObjectID, got.Value)
	}
	require.Equal(t, 2, host.RequestCount())

	// A failure says why.
	host.SetIdentities()
	_, err = token()
	require.ErrorContains(t, err, "(azhost) App Service")
	require.ErrorContains(t, err, "400")
}

// TestHelpPageMatchesExample checks that the help page quotes the example.
func TestHelpPageMatchesExample(t *testing.T) {
	text, err := os.ReadFile("credentials.json")
	require.NoError(t, err)
	_, source, found := strings.Cut(string(text), `  "subject_token_type"`)
	require.True(t, found)
	page, err := os.ReadFile("../../cmd/azhost/help/google.txt")
	require.NoError(t, err)
	require.Contains(t, strings.ReplaceAll(string(page), "\n    ", "\n"), `  "subject_token_type"`+source)
}
