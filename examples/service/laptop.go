// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/azhost/azhost/azhosttest"
)

// laptop is what the service runs against without -vault: a fake vault on loopback and a fake Azure VM
// whose tokens the vault accepts. It isn't part of what to copy.
type laptop struct {
	vm     *azhosttest.VM
	vault  *httptest.Server
	client *http.Client // reaches the vault whatever the URL's host
}

const laptopVault = "https://laptop.vault.azure.net"

func newLaptop() (*laptop, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	vault := httptest.NewTLSServer(fakeVault(vm))
	transport := vault.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // one of the names in httptest's certificate
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, vault.Listener.Addr().String())
	}
	return &laptop{vm: vm, vault: vault, client: &http.Client{Transport: transport}}, nil
}

func (l *laptop) close() {
	l.client.CloseIdleConnections()
	l.vault.Close()
	l.vm.Close()
}

// fakeVault responds as Key Vault does: with a challenge to a request without a valid token, and with
// the secret "signing-key" to the others.
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
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the client has gone if it fails
	})
}
