// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
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

func TestManualShowsTestReport(t *testing.T) {
	manual, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	here, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	_, test, _ := strings.Cut(string(here), "\nfunc TestReport(")
	test, _, _ = strings.Cut(test, "\n}\n")
	shown := strings.ReplaceAll("func TestReport("+test+"\n}", "\n", "\n//\t")
	require.Contains(t, string(manual), strings.ReplaceAll(shown, "//\t\n", "//\n"))
}

// A program that is not a test starts a fake agent, and uses it in the place of a real one.
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

// A machine with two user-assigned identities and no system-assigned one must be told which.
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

// A service that checks bearer tokens is tested with tokens that hold, and with tokens that do not.
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

// A service that finds its issuer's keys by OpenID Connect discovery gets the fake's URL as its
// issuer, and is otherwise unchanged. Its library does what this example does by hand.
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

// A service that refuses a token which the program still has in its cache answers 401. The program
// then gets another.
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
	service := func(claims string) {
		token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{
			Scopes: []string{"https://storage.azure.com/.default"}, Claims: claims,
		})
		if err != nil {
			log.Fatal(err)
		}
		_, err = vm.Verify(token.Token)
		fmt.Println("refused:", err != nil)
	}

	service("")
	vm.Expire()
	service("")                    // the cached token
	service(`{"access_token":{}}`) // the claims of the 401's challenge bypass the cache
	// Output:
	// refused: false
	// refused: true
	// refused: false
}

// newToken asks the VM as curl would. The credential does not deliver expired tokens.
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
