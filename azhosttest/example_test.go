// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// report is the program under test.
func report(ctx context.Context, cred azcore.TokenCredential) error {
	_, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
	return err
}

func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)

		vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())
		require.NoError(t, report(t.Context(), cred)) // takes no time in a bubble
		vm.RequireResource(t, "https://storage.azure.com")
	})
}

func TestPagesMatchExamples(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		return strings.ReplaceAll(string(text), "\r\n", "\n")
	}
	source := func(name string) string {
		_, test, found := strings.Cut(read("example_test.go"), "\nfunc "+name+"(")
		require.True(t, found)
		test, _, _ = strings.Cut(test, "\n}\n")
		return "func " + name + "(" + test + "\n}\n"
	}
	comment := strings.ReplaceAll(strings.ReplaceAll("\n"+source("TestReport"), "\n", "\n//\t"), "//\t\n", "//\n")
	require.Contains(t, read("doc.go"), strings.TrimSuffix(comment, "//\t"))
	require.Contains(t, read("README.md"), "```go\n"+source("TestReport")+"```\n")
	require.Contains(t, read("README.md"), "```go\n"+source("TestUnmodifiedCode")+"```\n")
}

// A program other than a test starts a fake agent and uses it instead of a real one.
func ExampleListenArc() {
	agent, err := azhosttest.ListenArc("127.0.0.1:0", "")
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()

	cred, err := azhost.NewManagedIdentityCredential(agent.Options())
	if err != nil {
		log.Fatal(err)
	}
	token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	if err != nil {
		log.Fatal(err)
	}
	claims, err := agent.Verify(token.Token)
	fmt.Println(cred.Source(), claims["aud"], err)
	for _, r := range agent.Requests() {
		fmt.Println(r.Method, r.Path, r.Status)
	}
	// Output:
	// AzureArc https://vault.azure.net <nil>
	// GET /metadata/identity/oauth2/token 401
	// GET /metadata/identity/oauth2/token 200
}

// billing is a package under test that creates its credential itself.
func billing(ctx context.Context) error {
	cred, err := azhost.NewManagedIdentityCredential(nil)
	if err != nil {
		return err
	}
	return report(ctx, cred)
}

// Unmodified code finds a fake App Service by its environment variables, with azidentity's
// credentials as well.
func TestUnmodifiedCode(t *testing.T) {
	app := azhosttest.NewAppService(t)
	app.Setenv(t)

	require.NoError(t, billing(t.Context()))
	app.RequireResource(t, "https://storage.azure.com")
}

// On a machine with two user-assigned identities and no system-assigned identity, the program must
// select one.
func ExampleHost_SetIdentities() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	reader, writer := azhosttest.UserAssigned("reader"), azhosttest.UserAssigned("writer")
	vm.SetIdentities(reader, writer)

	options := vm.Options()
	options.ID = azhost.ClientID(writer.ClientID)
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://storage.azure.com/.default"},
	})
	if err != nil {
		log.Fatal(err)
	}
	claims, err := vm.Verify(token.Token)
	fmt.Println(claims["oid"] == writer.ObjectID, err)
	// Output: true <nil>
}

// A service that verifies bearer tokens is tested with valid tokens, and with expired ones.
func ExampleHost_Verify() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.SetTokenLifetime(-time.Minute)

	_, err = vm.Verify(newToken(vm))
	fmt.Println(strings.Contains(err.Error(), "expired"))
	// Output: true
}

// A service that finds the signing keys by OpenID Connect discovery is configured with the fake's URL
// as its issuer, and is otherwise unchanged. Its library does what this example does by hand.
func ExampleHost_ServeIssuer() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	issuer := vm.ServeIssuer()

	var configuration struct {
		Issuer string
		Keys   string `json:"jwks_uri"`
	}
	getJSON(issuer+".well-known/openid-configuration", &configuration)
	var set struct {
		Keys []struct{ Kty, Alg string }
	}
	getJSON(configuration.Keys, &set)
	claims, err := vm.Verify(newToken(vm))
	fmt.Println(configuration.Issuer == issuer, claims["iss"] == issuer, set.Keys, err)
	// Output: true true [{EC ES256}] <nil>
}

func getJSON(url string, v any) {
	resp, err := http.Get(url)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		log.Fatal(err)
	}
}

// A service rejects a token that the program still has in its cache. The program then requests another.
func ExampleHost_Expire() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	cred, err := azhost.NewManagedIdentityCredential(vm.Options())
	if err != nil {
		log.Fatal(err)
	}
	call := func(claims string) {
		token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{
			Scopes: []string{"https://storage.azure.com/.default"}, Claims: claims,
		})
		if err != nil {
			log.Fatal(err)
		}
		_, err = vm.Verify(token.Token)
		fmt.Println("rejected:", err != nil)
	}

	call("")
	vm.Expire()
	call("")                    // the cached token
	call(`{"access_token":{}}`) // the claims of the 401's challenge bypass the cache
	// Output:
	// rejected: false
	// rejected: true
	// rejected: false
}

// A host rejects the next request. Later requests succeed.
func ExampleHost_Fail() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	vm.Fail(azhosttest.InvalidResource())

	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://typo.example/.default"}})
	var failed *azhost.AuthenticationFailedError
	fmt.Println(errors.As(err, &failed), failed.RawResponse.StatusCode)
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
	fmt.Println(err)
	// Output:
	// true 400
	// <nil>
}

// A service authorizes callers by the roles in their tokens.
func ExampleHost_SetClaims() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.SetClaims(map[string]any{"roles": []string{"Orders.Read"}})

	claims, err := vm.Verify(newToken(vm))
	fmt.Println(claims["roles"], err)
	// Output: [Orders.Read] <nil>
}

// An older host sends a response without expires_on.
func ExampleHost_EditResponse() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.EditResponse(func(fields map[string]any) { delete(fields, "expires_on") })

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
	fmt.Println(time.Until(token.ExpiresOn) > 23*time.Hour, err)
	// Output: true <nil>
}

// A program in any language, started as a child process, finds the fake by its environment.
func ExampleHost_Environment() {
	app, err := azhosttest.ListenAppService("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer app.Close()

	child := exec.Command("program-under-test")
	child.Env = os.Environ()
	environment := app.Environment()
	for _, name := range slices.Sorted(maps.Keys(environment)) {
		child.Env = append(child.Env, name+"="+environment[name])
		fmt.Println(name)
	}
	// Output:
	// IDENTITY_ENDPOINT
	// IDENTITY_HEADER
}

// The agent's key file is missing, as in a container without the agent's directory.
func ExampleArc_SetKeyFault() {
	agent, err := azhosttest.ListenArc("127.0.0.1:0", "")
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()
	agent.SetKeyFault(azhosttest.KeyMissing)

	cred, err := azhost.NewManagedIdentityCredential(agent.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	var failed *azhost.AuthenticationFailedError
	fmt.Println(errors.As(err, &failed), errors.Is(err, fs.ErrNotExist))
	// Output: true true
}

// newToken requests a token as curl would, because a credential doesn't return expired tokens.
func newToken(vm *azhosttest.VM) string {
	req, err := http.NewRequest(http.MethodGet, vm.Endpoint()+"?api-version=2018-02-01&resource=https://r", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Metadata", "true")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	return accessToken(resp)
}
