// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log"
	"math/big"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// The credential reports the lifetime of the host's tokens.
func ExampleHost_SetTokenLifetime() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.SetTokenLifetime(time.Hour)

	token, err := newCredential(vm.InMemory()).GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://storage.azure.com/.default"},
	})
	fmt.Println(time.Until(token.ExpiresOn).Round(time.Minute), err)
	// Output: 1h0m0s <nil>
}

// The host tells the credential when to refresh the token.
func ExampleHost_SetRefreshIn() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.SetRefreshIn(10 * time.Minute)

	token, err := newCredential(vm.InMemory()).GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://storage.azure.com/.default"},
	})
	fmt.Println(!token.RefreshOn.IsZero(), time.Until(token.RefreshOn) <= 10*time.Minute, err)
	// Output: true true <nil>
}

// A service that accepts only tokens of its tenant is configured with the fake's issuer.
func ExampleHost_Issuer() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	claims, err := vm.Verify(newToken(vm))
	fmt.Println(claims["iss"] == vm.Issuer(), err)
	// Output: true <nil>
}

// A service that is configured with a public key checks a token's signature. Its library does what
// this example does by hand.
func ExampleHost_PublicKey() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	token := newToken(vm)
	dot := strings.LastIndex(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		log.Fatal(err)
	}
	hash := sha256.Sum256([]byte(token[:dot]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	fmt.Println(ecdsa.Verify(vm.PublicKey(), hash[:], r, s))
	// Output: true
}

// IMDS has a token cache too, so a new request can return the same token.
func ExampleHost_ReuseTokens() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	first, second := newToken(vm), newToken(vm)
	fmt.Println(first == second)
	vm.ReuseTokens(true)
	first, second = newToken(vm), newToken(vm)
	fmt.Println(first == second)
	// Output:
	// false
	// true
}

// A service under test authorizes the caller by the object ID of its identity.
func ExampleSystemAssigned() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()

	claims, err := vm.Verify(newToken(vm))
	fmt.Println(claims["oid"] == azhosttest.SystemAssigned().ObjectID, err)
	// Output: true <nil>
}

// A program selects a user-assigned identity by its resource ID.
func ExampleUserAssigned() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	backup := azhosttest.UserAssigned("backup")
	vm.SetIdentities(azhosttest.SystemAssigned(), backup)

	options := vm.Options()
	options.ID = azhost.ResourceID(backup.ResourceID)
	token, err := newCredential(options).GetToken(context.Background(), policy.TokenRequestOptions{
		Scopes: []string{"https://storage.azure.com/.default"},
	})
	if err != nil {
		log.Fatal(err)
	}
	claims, err := vm.Verify(token.Token)
	fmt.Println(claims["oid"] == backup.ObjectID, err)
	// Output: true <nil>
}

// A test sets the IDs that the code under test expects.
func ExampleIdentity() {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer vm.Close()
	vm.SetIdentities(azhosttest.Identity{
		ClientID: "00000000-0000-0000-0000-000000000001",
		ObjectID: "00000000-0000-0000-0000-000000000002",
		TenantID: "00000000-0000-0000-0000-000000000003",
	})

	claims, err := vm.Verify(newToken(vm))
	fmt.Println(claims["oid"], claims["tid"], err)
	// Output: 00000000-0000-0000-0000-000000000002 00000000-0000-0000-0000-000000000003 <nil>
}
