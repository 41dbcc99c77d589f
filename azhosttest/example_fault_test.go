// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// newCredential returns a credential, or ends the example.
func newCredential(options *azhost.ManagedIdentityCredentialOptions) *azhost.ManagedIdentityCredential {
	cred, err := azhost.NewManagedIdentityCredential(options)
	if err != nil {
		log.Fatal(err)
	}
	return cred
}

// statusOf returns the status in an error of a credential, or 0.
func statusOf(err error) int {
	if failed, ok := errors.AsType[*azhost.AuthenticationFailedError](err); ok && failed.RawResponse != nil {
		return failed.RawResponse.StatusCode
	}
	return 0
}

// A gateway in front of the host responds instead of it, and another closes the connection. The
// credential retries both.
func ExampleFault() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.Fail(
		azhosttest.Fault{Status: http.StatusBadGateway, Body: "<html>Bad Gateway</html>"},
		azhosttest.Fault{Drop: true},
	)

	options := vm.InMemory()
	options.Retry = policy.RetryOptions{RetryDelay: time.Millisecond}
	err = report(context.Background(), newCredential(options))
	fmt.Println(err, vm.RequestCount(), "requests")
	// Output: <nil> 3 requests
}

// IMDS is being updated for longer than the program retries.
func ExampleHost_FailUntil() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())

	options := vm.InMemory()
	options.Retry = policy.RetryOptions{MaxRetries: -1}
	err = report(context.Background(), newCredential(options))
	fmt.Println("status", statusOf(err))
	// Output: status 410
}

// The host fails only for one resource.
func ExampleHost_FailWhile() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.FailWhile(func(r azhosttest.Request) (azhosttest.Fault, bool) {
		return azhosttest.InvalidResource(), r.Resource == "https://vault.azure.net"
	})

	cred := newCredential(vm.InMemory())
	for _, scope := range []string{"https://storage.azure.com/.default", "https://vault.azure.net/.default"} {
		_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}})
		fmt.Println(scope, err == nil)
	}
	// Output:
	// https://storage.azure.com/.default true
	// https://vault.azure.net/.default false
}

// Half of the requests fail. With the same seed, these are the same in every run.
func ExampleHost_FailRandomly() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	const seed = 2
	vm.FailRandomly(0.5, seed, azhosttest.Updating(), azhosttest.ServerError())

	options := vm.InMemory()
	options.Retry = policy.RetryOptions{RetryDelay: time.Millisecond}
	cred := newCredential(options)
	for i := range 5 {
		scope := fmt.Sprintf("https://tenant%d.example/.default", i)
		if _, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{scope}}); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("5 tokens in", vm.RequestCount(), "requests")
	// Output: 5 tokens in 9 requests
}

// IMDS is updated while the program requests a token. The credential retries until the update is over.
func ExampleUpdating() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.Fail(azhosttest.Updating(), azhosttest.Updating())

	options := vm.InMemory()
	options.Retry = policy.RetryOptions{RetryDelay: time.Millisecond}
	err = report(context.Background(), newCredential(options))
	fmt.Println(err)
	for _, r := range vm.Requests() {
		fmt.Println(r.Status)
	}
	// Output:
	// <nil>
	// 410
	// 410
	// 200
}

// After a response with Retry-After, the credential sends no request until that time has passed.
func ExampleThrottled() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.Fail(azhosttest.Throttled(time.Minute))

	options := vm.InMemory()
	options.Retry = policy.RetryOptions{MaxRetries: -1}
	cred := newCredential(options)
	for range 2 {
		err = report(context.Background(), cred)
		fmt.Println("status", statusOf(err))
	}
	fmt.Println(vm.RequestCount(), "request")
	// Output:
	// status 429
	// status 429
	// 1 request
}

// Microsoft Entra ID is down, so IMDS can't get a token.
func ExampleServerError() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.Fail(azhosttest.ServerError())

	options := vm.InMemory()
	options.Retry = policy.RetryOptions{MaxRetries: -1}
	err = report(context.Background(), newCredential(options))
	fmt.Println("status", statusOf(err))
	// Output: status 500
}

// IMDS restarts. On a known Azure VM, the credential retries.
func ExampleWireServer() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.Fail(azhosttest.WireServer())

	options := vm.InMemory()
	options.Retry = policy.RetryOptions{RetryDelay: time.Millisecond}
	err = report(context.Background(), newCredential(options))
	fmt.Println(err, vm.RequestCount(), "requests")
	// Output: <nil> 2 requests
}

// The access control profile of the VM doesn't allow the program to use IMDS. The credential doesn't retry.
func ExampleDenied() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.Fail(azhosttest.Denied())

	err = report(context.Background(), newCredential(vm.InMemory()))
	fmt.Println("status", statusOf(err))
	// Output: status 403
}

// The program misspells a resource. The credential doesn't retry.
func ExampleInvalidResource() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.Fail(azhosttest.InvalidResource())

	err = report(context.Background(), newCredential(vm.InMemory()))
	fmt.Println("status", statusOf(err), vm.RequestCount(), "request")
	// Output: status 400 1 request
}

// On a laptop in a hotel, a captive portal responds at IMDS's address. The credential is unavailable, so
// a chain continues with its next credential.
func ExamplePortal() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.Fail(azhosttest.Portal())

	err = report(context.Background(), newCredential(vm.Options()))
	_, unavailable := errors.AsType[*azhost.CredentialUnavailableError](err)
	fmt.Println("unavailable:", unavailable)
	// Output: unavailable: true
}
