// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// Credentials connect to the fake over a loopback socket. Those of one fake share a token cache.
func ExampleHost_Options() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	for range 2 {
		if err := report(context.Background(), newCredential(vm.Options())); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(vm.RequestCount(), "request")
	// Output: 1 request
}

// The credential calls the fake without a socket, at the address of the real IMDS.
func ExampleHost_InMemory() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	err = report(context.Background(), newCredential(vm.InMemory()))
	r := vm.Requests()[0]
	fmt.Printf("%v, from %q, for %s\n", err, r.Remote, r.Resource)
	// Output: <nil>, from "", for https://storage.azure.com
}

// A refused connection tells a program on a laptop that it isn't on Azure. The program recovers when
// the host does.
func ExampleHost_Stop() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	cred := newCredential(vm.Options())

	vm.Stop()
	err = report(context.Background(), cred)
	_, unavailable := errors.AsType[*azhost.CredentialUnavailableError](err)
	fmt.Println("unavailable:", unavailable)

	if err := vm.Start(); err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	fmt.Println(err)
	// Output:
	// unavailable: true
	// <nil>
}

// A host that restarts has the same address and the same key, so earlier tokens stay valid.
func ExampleHost_Start() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	token, endpoint := newToken(vm), vm.Endpoint()

	vm.Stop()
	if err := vm.Start(); err != nil {
		log.Fatal(err)
	}
	_, err = vm.Verify(token)
	fmt.Println(vm.Endpoint() == endpoint, err)
	// Output: true <nil>
}

// A firewall drops the packets to the host. The program's deadline ends its wait.
func ExampleHost_Silence() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.Silence(true)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	err = report(ctx, newCredential(vm.InMemory()))
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// The host is slower than the program's deadline.
func ExampleHost_SetLatency() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.SetLatency(time.Minute)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	err = report(ctx, newCredential(vm.InMemory()))
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

// A typo in a scope fails the test, as it fails in production.
func ExampleHost_AllowResources() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.AllowResources("https://storage.azure.com", "https://vault.azure.net")

	cred := newCredential(vm.InMemory())
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{"https://valut.azure.net/.default"}})
	fmt.Println("status", statusOf(err))
	// Output: status 400
}

// A test waits for the request of a program that runs in another goroutine.
func ExampleHost_OnRequest() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	requests := make(chan azhosttest.Request, 1)
	vm.OnRequest(func(r azhosttest.Request) { requests <- r })

	cred := newCredential(vm.Options())
	go func() { _ = report(context.Background(), cred) }()
	r := <-requests
	fmt.Println(r.Resource, r.Status)
	// Output: https://storage.azure.com 200
}

// The host's requests show which identity the program selected.
func ExampleHost_Requests() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	options := vm.Options()
	options.ID = azhost.ClientID("00000000-0000-0000-0000-000000000001") // the VM doesn't have it
	err = report(context.Background(), newCredential(options))
	fmt.Println(err != nil)
	for _, r := range vm.Requests() {
		fmt.Println(r.Selector, r.Status)
	}
	// Output:
	// true
	// client_id=00000000-0000-0000-0000-000000000001 400
}

// A program that creates a credential for each call still sends one request, because credentials share
// a cache.
func ExampleHost_RequestCount() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	for range 100 {
		if err := report(context.Background(), newCredential(vm.InMemory())); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(vm.RequestCount())
	// Output: 1
}

// The User-Agent header shows which application sent a request.
func ExampleRequest() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	options := vm.Options()
	options.Telemetry.ApplicationID = "reports"
	if err := report(context.Background(), newCredential(options)); err != nil {
		log.Fatal(err)
	}
	userAgent, _, _ := strings.Cut(vm.Requests()[0].Header.Get("User-Agent"), " ")
	fmt.Println(userAgent)
	// Output: reports
}
