// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"net/http"
	"strings"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

// laptop is what the service uses without -vault: a fake vault on loopback and a fake Azure VM whose tokens
// the vault accepts. You don't need to copy it.
type laptop struct {
	vm    *azhosttest.VM
	vault *fake.Server
}

const laptopVault = "https://laptop.vault.azure.net"

func newLaptop() (*laptop, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &laptop{vm: vm, vault: fake.Serve(fakeVault(vm))}, nil
}

func (l *laptop) close() {
	l.vault.Close()
	l.vm.Close()
}

// fakeVault responds as Key Vault does: to a request without a valid token with a challenge, and to others
// with the secret "signing-key".
func fakeVault(vm *azhosttest.VM) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		claims, err := vm.Verify(token)
		status, body := http.StatusOK, map[string]any{"value": "not a secret", "id": laptopVault + "/secrets/signing-key/1"}
		switch {
		case err != nil || claims["aud"] != "https://vault.azure.net":
			w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/`+
				azhosttest.SystemAssigned().TenantID+`", resource="https://vault.azure.net"`)
			status, body = http.StatusUnauthorized, map[string]any{"error": map[string]any{"code": "Unauthorized"}}
		case r.Method != http.MethodGet || r.URL.Path != "/secrets/signing-key/":
			status, body = http.StatusNotFound, map[string]any{"error": map[string]any{"code": "SecretNotFound"}}
		}
		fake.WriteJSON(w, status, body)
	})
}
