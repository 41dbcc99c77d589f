// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// The examples run against a fake; a program on a real host passes nil, or options without
// Source, Endpoint and Transport.
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

	cred, err := azhost.NewManagedIdentityCredential(vm.Options())
	if err != nil {
		log.Fatal(err)
	}
	token, err := cred.GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://vault.azure.net/.default"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(cred.Source(), token.Token != "", token.ExpiresOn.After(token.RefreshOn))
	// Output: IMDS true true
}

func Example_userAssigned() {
	vm := fakeVM()
	defer vm.Close()
	reports := azhosttest.UserAssigned("reports")
	vm.SetIdentities(azhosttest.SystemAssigned(), reports)

	options := vm.Options()
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

func Example_errors() {
	vm := fakeVM()
	vm.Close() // nothing listens any more

	cred, err := azhost.NewManagedIdentityCredential(vm.Options())
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
		fmt.Println("the host refused:", failed)
	}
	// Output: no managed identity here: use another credential
}
