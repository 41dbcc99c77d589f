// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/internal/detect"
	"github.com/stretchr/testify/require"
)

const vault = "https://vault.azure.net"

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

func TestTokenIsTheHosts(t *testing.T) {
	vm := azhosttest.NewVM(t)
	got := do(t.Context(), wire(vm.Do), nil, "token", "--resource", vault, "--source", "IMDS")
	claims, err := vm.Verify(strings.TrimSuffix(got.stdout, "\n"))
	require.NoError(t, err)
	require.Equal(t, vault, claims["aud"])

	got = do(t.Context(), wire(vm.Do), nil, "token", "--resource", vault, "--source", "IMDS", "-o", "json")
	var answer map[string]string
	require.NoError(t, json.Unmarshal([]byte(got.stdout), &answer))
	expires, err := time.Parse(time.RFC3339, answer["expiresOn"])
	require.NoError(t, err)
	require.True(t, expires.After(time.Now().Add(23*time.Hour)))
}

func TestTokenSelectsTheIdentity(t *testing.T) {
	id := azhosttest.UserAssigned("reports")
	for flag, value := range map[string]string{"--client-id": id.ClientID, "--object-id": id.ObjectID, "--resource-id": id.ResourceID} {
		t.Run(flag, func(t *testing.T) {
			arc := azhosttest.NewArc(t)
			arc.SetIdentities(azhosttest.SystemAssigned(), id)
			got := do(t.Context(), wire(arc.Do), nil, "token", "--resource", vault, "--source", "AzureArc",
				"--endpoint", "http://127.0.0.1:40342/metadata/identity/oauth2/token", "--arc-key-directory", arc.KeyDirectory(), flag, value)
			require.Equal(t, exitOK, got.code, got.stderr)
			claims, err := arc.Verify(strings.TrimSuffix(got.stdout, "\n"))
			require.NoError(t, err)
			require.Equal(t, id.ObjectID, claims["oid"])
		})
	}
}

func TestTokenExitStatuses(t *testing.T) {
	vm := func(faults ...azhosttest.Fault) func(*testing.T) wire {
		return func(t *testing.T) wire {
			vm := azhosttest.NewVM(t)
			vm.Fail(faults...)
			return vm.Do
		}
	}
	none := func(t *testing.T) wire {
		vm := azhosttest.NewVM(t)
		vm.SetIdentities()
		return vm.Do
	}
	for _, test := range []struct {
		name   string
		wire   func(*testing.T) wire
		env    map[string]string
		args   []string
		code   int
		stderr string
	}{
		{"a token", vm(), nil, nil, exitOK, ""},
		{"nothing there", func(*testing.T) wire { return refuse }, nil, nil, exitUnavailable, "connection refused"},
		{"an agent that is down", func(*testing.T) wire { return refuse }, nil, []string{"--source", "AzureArc", "--endpoint", detect.ArcTokenEndpoint, "--arc-key-directory", "/keys"}, exitDown, "connection refused"},
		{"a foreign response", vm(azhosttest.Portal()), nil, nil, exitUnavailable, "169.254.169.254"},
		{"no identity", none, nil, nil, exitUnavailable, "identity"},
		{"no such identity", vm(), nil, []string{"--client-id", "x"}, exitFailed, "identity"},
		{"no such resource", vm(azhosttest.InvalidResource()), nil, nil, exitFailed, "resource"},
		{"forbidden", vm(azhosttest.Fault{Status: 403, Body: `{"error":"a","error_description":"b"}`}), nil, nil, exitFailed, "403 Forbidden"},
		{"no time left", vm(azhosttest.Fault{Delay: time.Hour}), nil, []string{"--timeout", "3s"}, exitFailed, "--timeout 3s"},
		{"an endpoint elsewhere in the environment", vm(),
			map[string]string{"IDENTITY_ENDPOINT": "http://10.0.0.4/x", "IMDS_ENDPOINT": "x"},
			[]string{"--source", "", "--endpoint", ""}, exitFailed, "IDENTITY_ENDPOINT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			noHost(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			synctest.Test(t, func(t *testing.T) {
				args := append([]string{"token", "--resource", vault, "--source", "IMDS", "--endpoint", detect.IMDSTokenEndpoint}, test.args...)
				got := do(t.Context(), test.wire(t), nil, args...)
				settle()
				require.Equal(t, test.code, got.code, got.stderr)
				require.Contains(t, got.stderr, test.stderr)
				require.NotContains(t, got.stderr, "eyJ")
				if test.code != exitOK {
					require.Empty(t, got.stdout)
					require.True(t, strings.HasPrefix(got.stderr, "azhost token: "), got.stderr)
				}
			})
		})
	}
}

func TestInterruptEndsTheWait(t *testing.T) {
	noHost(t)
	for signal, want := range map[os.Signal]result{
		os.Interrupt:    {exitInterrupted, "", "azhost token: interrupted\n"},
		syscall.SIGTERM: {exitTerminated, "", "azhost token: stopped by signal: terminated\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			vm.SetLatency(time.Hour)
			ctx, stop := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { stop(interrupted{signal}) })
			start := time.Now()
			require.Equal(t, want, do(ctx, wire(vm.Do), nil, "token", "vault", "--source", "IMDS"))
			require.Equal(t, time.Second, time.Since(start))
			settle()
		})
	}
}

func TestLongWaitsShowProgressOnATerminal(t *testing.T) {
	for _, test := range []struct {
		name     string
		terminal bool
		latency  time.Duration
		want     string
	}{
		{"terminal, just not long", true, progressAfter - 1, ""},
		{"terminal, long", true, progressAfter + 1, "azhost: waiting for IMDS (2s)\n"},
		{"terminal, longer", true, progressAfter + progressEvery + 1, "azhost: waiting for IMDS (2s)\nazhost: waiting for IMDS (7s)\n"},
		{"pipe, longer", false, progressAfter + progressEvery + 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				vm.SetLatency(test.latency)
				got := do(t.Context(), wire(vm.Do), func(p *process) { p.err.terminal = test.terminal },
					"token", "--resource", vault, "--source", "IMDS", "--endpoint", detect.IMDSTokenEndpoint)
				require.Equal(t, exitOK, got.code)
				require.Equal(t, test.want, got.stderr)
			})
		})
	}
}

func TestQuoted(t *testing.T) {
	require.Equal(t, `'a'\''b'`, posixQuoted("a'b"))
	require.Equal(t, `'a''b'`, powershellQuoted("a'b"))
}

func TestNamesOfResources(t *testing.T) {
	for _, r := range resources() {
		for i, cloud := range cloudNames() {
			got, err := resolveResource(r.name, cloud)
			require.NoError(t, err)
			require.Equal(t, r.uris[i], got)
			require.NotEmpty(t, got)
		}
	}
	for _, uri := range []string{"https://example.com", "api://orders/.default", aksServer, "urn:x", "https://database.windows.net//.default"} {
		got, err := resolveResource(uri, "china")
		require.NoError(t, err)
		require.Equal(t, uri, got)
	}
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
	require.Equal(t, exitOK, got.code, "Google's libraries read the failure of a command that succeeds")
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

func TestTokenInAFile(t *testing.T) {
	noHost(t)
	vm := azhosttest.NewVM(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o644))
	got := do(t.Context(), wire(vm.Do), nil, "token", "vault", "--source", "IMDS", "--out", file)
	require.Equal(t, result{}, got)
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	claims, err := vm.Verify(string(content)) // no line end
	require.NoError(t, err)
	require.Equal(t, vault, claims["aud"])
	if runtime.GOOS != "windows" {
		info, err := os.Stat(file)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "a temporary file is left behind")

	got = do(t.Context(), wire(vm.Do), nil, "token", "vault", "--source", "IMDS", "--out", filepath.Join(dir, "none", "token"))
	require.Equal(t, exitFailed, got.code)
	require.ErrorIs(t, writeFile(filepath.Join(dir, "none", "token"), ""), fs.ErrNotExist)
}

// TestTokenWatches: two days, in which the host is down for a while.
func TestTokenWatches(t *testing.T) {
	noHost(t)
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		file := filepath.Join(t.TempDir(), "token")
		read := func() string {
			content, err := os.ReadFile(file)
			require.NoError(t, err)
			claims, err := vm.Verify(string(content))
			require.NoError(t, err)
			return claims["uti"].(string)
		}
		ctx, stop := context.WithCancelCause(t.Context())
		ended := make(chan result, 1)
		go func() {
			ended <- do(ctx, wire(vm.Do), nil, "token", "vault", "--source", "IMDS", "--out", file, "--watch")
		}()
		time.Sleep(time.Minute)
		first := read()
		vm.FailUntil(time.Now().Add(14*time.Hour), azhosttest.Fault{Status: 400, Body: `{"error":"fake","error_description":"x"}`})
		time.Sleep(13 * time.Hour)
		require.Equal(t, first, read(), "a failure must leave the file as it is")
		time.Sleep(35 * time.Hour)
		require.NotEqual(t, first, read())
		stop(interrupted{syscall.SIGTERM})
		got := <-ended
		require.Equal(t, exitOK, got.code, "SIGTERM is how services end")
		require.Empty(t, got.stdout)
		require.NotContains(t, got.stderr, "eyJ")
		require.Greater(t, strings.Count(got.stderr, "azhost token: wrote "), 2, got.stderr)
	})
}

func TestTokenWatchNeedsAFirstToken(t *testing.T) {
	noHost(t)
	file := filepath.Join(t.TempDir(), "token")
	got := do(t.Context(), wire(refuse), nil, "token", "vault", "--out", file, "--watch")
	require.Equal(t, exitUnavailable, got.code)
	require.NoFileExists(t, file)
}
