// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestTokenForms(t *testing.T) {
	for _, form := range formNames() {
		t.Run(form, func(t *testing.T) {
			noHost(t)
			vm := azhosttest.NewVM(t)
			for _, args := range [][]string{
				{vault, "-o", form}, {"-o", form, vault}, {"vault", "--output=" + form}, {"--resource", vault + "/.default", "-output", form},
			} {
				got := do(t.Context(), wire(vm.Do), nil, append([]string{"token", "--source", "imds"}, args...)...)
				require.Equal(t, exitOK, got.code, got.stderr)
				require.Empty(t, got.stderr)
				requireGolden(t, "token-"+form, normalized(got.stdout))
			}
			vm.RequireResource(t, vault)
			vm.RequireRequests(t, 4)
		})
	}
}

func TestQuoted(t *testing.T) {
	require.Equal(t, `'a'\''b'`, posixQuoted("a'b"))
	require.Equal(t, `'a''b'`, powershellQuoted("a'b"))
}

func TestExecCredentialVersions(t *testing.T) {
	noHost(t)
	vm := azhosttest.NewVM(t)
	for info, want := range map[string]string{
		"": "v1", " ": "v1",
		`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false}}`:      "v1",
		`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"interactive":false}}`: "v1beta1",
	} {
		t.Setenv("KUBERNETES_EXEC_INFO", info)
		got := do(t.Context(), wire(vm.Do), nil, "token", "aks", "--source", "IMDS", "-o", "exec-credential")
		require.Equal(t, exitOK, got.code, got.stderr)
		var credential struct{ APIVersion, Kind string }
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &credential))
		require.Equal(t, "client.authentication.k8s.io/"+want, credential.APIVersion)
		require.Equal(t, "ExecCredential", credential.Kind)
	}
	before := vm.RequestCount()
	for info, want := range map[string]string{
		`{"apiVersion":"client.authentication.k8s.io/v1alpha1"}`: `asks for apiVersion "client.authentication.k8s.io/v1alpha1"`,
		`{`: "KUBERNETES_EXEC_INFO isn't JSON",
	} {
		t.Setenv("KUBERNETES_EXEC_INFO", info)
		got := do(t.Context(), wire(vm.Do), nil, "token", "aks", "--source", "IMDS", "-o", "exec-credential")
		require.Equal(t, exitFailed, got.code)
		require.Contains(t, got.stderr, want)
	}
	vm.RequireRequests(t, before)
}

func TestGoogleExecutable(t *testing.T) {
	noHost(t)
	vm := azhosttest.NewVM(t)
	file := filepath.Join(t.TempDir(), "cached")
	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_OUTPUT_FILE", file)
	args := []string{"token", "api://orders", "--source", "IMDS", "-o", "google-executable"}
	for _, tokenType := range []string{googleIDToken, googleJWT} {
		t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", tokenType)
		got := do(t.Context(), wire(vm.Do), nil, args...)
		require.Equal(t, exitOK, got.code, got.stderr)
		var response googleResponse
		require.NoError(t, json.Unmarshal([]byte(got.stdout), &response))
		require.Equal(t, tokenType, response.TokenType)
		claims, err := vm.Verify(response.IDToken)
		require.NoError(t, err)
		require.Equal(t, claims["exp"], float64(response.ExpirationTime))
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, got.stdout, string(content)+"\n")
	}
	require.NoError(t, os.Remove(file))
	vm.Fail(azhosttest.InvalidResource())
	got := do(t.Context(), wire(vm.Do), nil, args...)
	require.Equal(t, exitOK, got.code, "Google's libraries read the error only if the command succeeds")
	var response googleResponse
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &response))
	require.False(t, response.Success)
	require.Equal(t, "azhost", response.Code)
	require.Contains(t, response.Message, "AADSTS50001")
	require.NoFileExists(t, file)

	t.Setenv("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", "urn:ietf:params:oauth:token-type:saml2")
	got = do(t.Context(), wire(vm.Do), nil, args...)
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.stderr, "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE asks for")
}
