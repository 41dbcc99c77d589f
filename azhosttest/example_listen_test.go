// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/azhost/azhost/azhosttest"
)

// setenv sets variables and returns a function that removes them.
func setenv(variables map[string]string) (unset func()) {
	for name, value := range variables {
		if err := os.Setenv(name, value); err != nil {
			log.Fatal(err)
		}
	}
	return func() {
		for name := range variables {
			_ = os.Unsetenv(name)
		}
	}
}

// A program on a VM gets a token of the VM's identity.
func ExampleListenVM() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	cred := newCredential(vm.Options())
	err = report(context.Background(), cred)
	fmt.Println(cred.Source(), err)
	// Output: IMDS <nil>
}

// The secret of an App Service is in its environment.
func ExampleListenAppService() {
	app, err := azhosttest.ListenAppService("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer app.Close()
	defer setenv(app.Environment())()

	cred := newCredential(app.Options())
	err = report(context.Background(), cred)
	fmt.Println(cred.Source(), err)
	// Output: AppService <nil>
}

// The secret of an Azure ML compute is in its environment.
func ExampleListenAzureML() {
	compute, err := azhosttest.ListenAzureML("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer compute.Close()
	defer setenv(compute.Environment())()

	cred := newCredential(compute.Options())
	err = report(context.Background(), cred)
	fmt.Println(cred.Source(), err)
	// Output: AzureML <nil>
}

// Cloud Shell has no secret. Its parameters are in the body of the request.
func ExampleListenCloudShell() {
	shell, err := azhosttest.ListenCloudShell("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer shell.Close()

	cred := newCredential(shell.Options())
	err = report(context.Background(), cred)
	fmt.Println(cred.Source(), err)
	fmt.Println(shell.Requests()[0].Form)
	// Output:
	// CloudShell <nil>
	// map[resource:[https://storage.azure.com]]
}

// The secret and the certificate's thumbprint of a Service Fabric node are in its environment.
func ExampleListenServiceFabric() {
	node, err := azhosttest.ListenServiceFabric("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	defer setenv(node.Environment())()

	cred := newCredential(node.Options())
	err = report(context.Background(), cred)
	fmt.Println(cred.Source(), err)
	// Output: ServiceFabric <nil>
}

// The platform replaces the secret while the program runs. The program finds the new one in its
// environment.
func ExampleAppService_RotateHeader() {
	app, err := azhosttest.ListenAppService("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer app.Close()
	defer setenv(app.Environment())()
	app.RotateHeader()

	err = report(context.Background(), newCredential(app.Options()))
	fmt.Println("old secret: status", statusOf(err))

	defer setenv(app.Environment())()
	err = report(context.Background(), newCredential(app.InMemory())) // doesn't share the error above
	fmt.Println("new secret:", err)
	// Output:
	// old secret: status 401
	// new secret: <nil>
}

// The program's environment has the thumbprint of the certificate that it must accept.
func ExampleServiceFabric_Thumbprint() {
	node, err := azhosttest.ListenServiceFabric("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	fmt.Println(node.Thumbprint() == node.Environment()["IDENTITY_SERVER_THUMBPRINT"])
	// Output: true
}

// Another program listens at the node's address, with its own certificate. The credential sends it
// nothing.
func ExampleServiceFabric_UseWrongCertificate() {
	node, err := azhosttest.ListenServiceFabric("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	defer setenv(node.Environment())()
	node.UseWrongCertificate(true)

	err = report(context.Background(), newCredential(node.Options()))
	fmt.Println(err != nil, node.RequestCount(), "requests")
	// Output: true 0 requests
}
