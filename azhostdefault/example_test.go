// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostdefault_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/azhostdefault"
	"github.com/azhost/azhost/azhosttest"
)

// The credential goes into the constructor of any client of the Azure SDK.
func ExampleNewDefaultAzureCredential() {
	cred, err := azhostdefault.NewDefaultAzureCredential(nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%T\n", cred)
	// Output: *azhostdefault.DefaultAzureCredential
}

// With AZURE_TOKEN_CREDENTIALS, a program on a server uses only the machine's managed identity.
func ExampleDefaultAzureCredential() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	if err := os.Setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"); err != nil {
		log.Fatal(err)
	}
	defer os.Unsetenv("AZURE_TOKEN_CREDENTIALS")

	var options azhostdefault.DefaultAzureCredentialOptions
	options.Transport = vm
	cred, err := azhostdefault.NewDefaultAzureCredential(&options)
	if err != nil {
		log.Fatal(err)
	}
	_, err = cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://storage.azure.com/.default"},
	})
	fmt.Println(err, vm.Requests()[0].Resource)
	// Output: <nil> https://storage.azure.com
}

// AZURE_TOKEN_CREDENTIALS should be "prod" on a server, so that a developer's sign-in is never
// used there. This option makes sure that it's set.
func ExampleDefaultAzureCredentialOptions() {
	_, err := azhostdefault.NewDefaultAzureCredential(&azhostdefault.DefaultAzureCredentialOptions{
		RequireAzureTokenCredentials: true,
	})
	fmt.Println(err != nil)
	// Output: true
}

// A test of a program can use a fake VM as the Transport. The program then gets the VM's tokens,
// unless variables configure another credential.
func ExampleDefaultAzureCredential_GetToken() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	var options azhostdefault.DefaultAzureCredentialOptions
	options.Transport = vm
	cred, err := azhostdefault.NewDefaultAzureCredential(&options)
	if err != nil {
		log.Fatal(err)
	}
	token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	if err != nil {
		log.Fatal(err)
	}
	claims, err := vm.Verify(token.Token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(claims["aud"])
	// Output: https://vault.azure.net
}
