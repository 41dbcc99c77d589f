// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// The examples get their tokens from a fake, in memory. A program on a real host passes nil instead of
// vm.InMemory(), or options without Source, Endpoint and Transport.
func fakeVM() *azhosttest.VM {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return vm
}

func Example() {
	vm := fakeVM()
	defer vm.Close()

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Token != "", token.ExpiresOn.After(token.RefreshOn))
	// Output: true true
}

func Example_errors() {
	vm := fakeVM()
	defer vm.Close()
	vm.Stop() // nothing responds

	options := vm.InMemory()
	options.Retry.MaxRetries = -1 // don't retry, so that the example fails quickly
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	var unavailable *azhost.CredentialUnavailableError
	var failed *azhost.AuthenticationFailedError
	switch {
	case errors.As(err, &unavailable):
		fmt.Println("no managed identity here: use another credential")
	case errors.Is(err, fs.ErrPermission):
		fmt.Println("not in the group that may read the Arc agent's keys")
	case errors.As(err, &failed):
		fmt.Println("the host rejected the request:", failed)
	}
	// Output: no managed identity here: use another credential
}

// NewManagedIdentityCredential rejects an invalid option. It doesn't check that the identity exists; the first
// call of GetToken does.
func ExampleNewManagedIdentityCredential() {
	cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
		ID:     azhost.ResourceID("00000000-0000-0000-0000-000000000000"),
		Source: azhost.SourceIMDS,
	})
	fmt.Println(cred, err)
	// Output: <nil> azhost: ID: the resource ID "00000000-0000-0000-0000-000000000000" is a GUID. Use ClientID or ObjectID
}

// NewManagedIdentityCredential logs which host it detected and why. The credential logs its token requests.
func ExampleManagedIdentityCredentialOptions_logger() {
	vm := fakeVM()
	defer vm.Close()

	options := vm.InMemory()
	options.Logger = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // so that the output is always the same
			}
			return a
		},
	}))
	if _, err := azhost.NewManagedIdentityCredential(options); err != nil {
		log.Fatal(err)
	}
	// Output: level=INFO msg="azhost: host found" source=IMDS reason="Source is set" identity=system-assigned
}

// skip stands for azidentity.NewCredentialUnavailableError, which azidentity's chains recognize.
type skip struct{ error }

func newSkip(message string) error { return skip{errors.New(message)} }

// With azidentity, UnavailableError is azidentity.NewCredentialUnavailableError, and a
// ChainedTokenCredential tries its next credential on a machine without a managed identity.
func ExampleManagedIdentityCredentialOptions_unavailableError() {
	vm := fakeVM()
	defer vm.Close()
	vm.Stop() // nothing responds

	options := vm.InMemory()
	options.Retry.MaxRetries = -1 // don't retry, so that the example fails quickly
	options.UnavailableError = newSkip
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	var unavailable skip
	if errors.As(err, &unavailable) {
		fmt.Println("the chain tries its next credential")
	}
	// Output: the chain tries its next credential
}

// A program that gets its identity from a flag or a variable treats "" as the system-assigned one.
func ExampleManagedIDKind() {
	vm := fakeVM()
	defer vm.Close()

	for _, clientID := range []string{"", azhosttest.UserAssigned("reports").ClientID} {
		options := vm.InMemory()
		if clientID != "" {
			options.ID = azhost.ClientID(clientID)
		}
		if _, err := azhost.NewManagedIdentityCredential(options); err != nil {
			log.Fatal(err)
		}
		fmt.Println(options.ID)
	}
	// Output:
	// <nil>
	// adfd5096-2935-8a1c-b66d-989f697504ef
}

func ExampleClientID() {
	vm := fakeVM()
	defer vm.Close()
	reports := azhosttest.UserAssigned("reports")
	vm.SetIdentities(azhosttest.SystemAssigned(), reports)

	options := vm.InMemory()
	options.ID = azhost.ClientID(reports.ClientID)
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://storage.azure.com/.default"},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleObjectID() {
	vm := fakeVM()
	defer vm.Close()
	reports := azhosttest.UserAssigned("reports")
	vm.SetIdentities(azhosttest.SystemAssigned(), reports)

	options := vm.InMemory()
	options.ID = azhost.ObjectID(reports.ObjectID)
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://storage.azure.com/.default"},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleResourceID() {
	vm := fakeVM()
	defer vm.Close()
	reports := azhosttest.UserAssigned("reports")
	vm.SetIdentities(azhosttest.SystemAssigned(), reports)

	options := vm.InMemory()
	options.ID = azhost.ResourceID(reports.ResourceID)
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://storage.azure.com/.default"},
	})
	fmt.Println(err)
	// Output: <nil>
}

// Source sets the host, for a program that knows where it runs.
func ExampleSource() {
	cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
		Source: azhost.SourceAzureArc,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cred.Source())
	// Output: AzureArc
}

func ExampleManagedIdentityCredential_Source() {
	vm := fakeVM()
	defer vm.Close()

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	switch source := cred.Source(); source {
	case azhost.SourceIMDS, azhost.SourceAzureArc:
		fmt.Println("runs on a server:", source)
	default:
		fmt.Println("runs on a service:", source)
	}
	// Output: runs on a server: IMDS
}

// A second call gets the token from the cache, without a request to the host.
func ExampleManagedIdentityCredential_GetToken() {
	vm := fakeVM()
	defer vm.Close()

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range 2 {
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{
			Scopes: []string{"https://management.azure.com/.default"},
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.ExpiresOn.After(time.Now()), vm.RequestCount())
	}
	// Output:
	// true 1
	// true 1
}

// A readiness probe asks whether there is a valid token for what the program needs.
func ExampleManagedIdentityCredential_Health() {
	vm := fakeVM()
	defer vm.Close()

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	ready := func(resource string) bool {
		for h := range cred.Health() {
			if h.Resource == resource {
				return h.ExpiresOn.After(time.Now())
			}
		}
		return false
	}
	fmt.Println(ready("https://vault.azure.net"))
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	fmt.Println(ready("https://vault.azure.net"), err)
	// Output:
	// false
	// true <nil>
}

// A status page can show which resources have a valid token, and which requests fail.
func ExampleHealth() {
	vm := fakeVM()
	defer vm.Close()
	vm.AllowResources("https://vault.azure.net")

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	for _, scope := range []string{"https://vault.azure.net/.default", "https://vualt.azure.net/.default"} {
		_, _ = cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
	}
	for h := range cred.Health() {
		fmt.Printf("%s: valid %t, failures %d, failing %t\n", h.Resource, h.ExpiresOn.After(time.Now()), h.Failures, h.Err != nil)
	}
	// Unordered output:
	// https://vault.azure.net: valid true, failures 0, failing false
	// https://vualt.azure.net: valid false, failures 1, failing true
}

// A connection pool signs its connections in again with each token. A program that only wants a fresh
// token after hours without a call ranges over Tokens with an empty body, in a goroutine.
func ExampleManagedIdentityCredential_Tokens() {
	vm := fakeVM()
	defer vm.Close()

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for token, err := range cred.Tokens(ctx, policy.TokenRequestOptions{
		Scopes: []string{"https://redis.azure.com/.default"},
	}) {
		if err != nil {
			log.Print(err) // Tokens tries again
			continue
		}
		fmt.Println("sign in with a token that is valid:", token.ExpiresOn.After(time.Now()))
		break // a real program continues the loop
	}
	// Output: sign in with a token that is valid: true
}

// If a service rejects a token with 401 and its response has no claims challenge, call Invalidate to get a
// new token.
func ExampleManagedIdentityCredential_Invalidate() {
	vm := fakeVM()
	defer vm.Close()

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	scope := policy.TokenRequestOptions{Scopes: []string{"api://orders/.default"}}
	refused, err := cred.GetToken(context.Background(), scope)
	if err != nil {
		log.Fatal(err)
	}
	cred.Invalidate(refused.Token)
	token, err := cred.GetToken(context.Background(), scope)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.Token != refused.Token)
	// Output: true
}

// Use Observe to count the requests to the host. Most calls of GetToken return a token from the cache, without
// a request.
func ExampleEvent() {
	vm := fakeVM()
	defer vm.Close()

	events := make(chan azhost.Event, 10)
	options := vm.InMemory()
	options.Observe = func(e azhost.Event) { events <- e }
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	for range 100 {
		_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
			Scopes: []string{"https://vault.azure.net/.default"},
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	e := <-events // Observe is called after GetToken has returned
	fmt.Println(e.Source, e.Resource, e.Background, e.Attempts, e.Err, len(events))
	// Output: IMDS https://vault.azure.net false 1 <nil> 0
}

func ExampleAuthenticationFailedError() {
	vm := fakeVM()
	defer vm.Close()
	vm.AllowResources("https://vault.azure.net")

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vualt.azure.net/.default"},
	})
	var failed *azhost.AuthenticationFailedError
	if errors.As(err, &failed) {
		fmt.Println(failed.RawResponse.StatusCode) // nil if the host didn't respond
	}
	// Output: 400
}

func ExampleCredentialUnavailableError() {
	vm := fakeVM()
	defer vm.Close()
	vm.SetIdentities() // the machine has none

	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	var unavailable *azhost.CredentialUnavailableError
	fmt.Println(errors.As(err, &unavailable))
	// Output: true
}
