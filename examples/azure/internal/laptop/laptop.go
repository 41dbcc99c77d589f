// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package laptop lets the examples run on a machine that is not on Azure: a fake of the service,
// and a fake Azure VM whose tokens the fake accepts. It is no part of what there is to copy.
//
// The fakes answer on loopback under the names that the services have on Azure. They check every
// token's signature, expiry and audience, and refuse with the status, the challenge and the JSON
// or XML of the real service. Of each service there is as much as the examples call.
package laptop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// Service is a fake service, and the fake VM whose tokens it accepts. It is safe for concurrent use.
type Service struct {
	URL       string                                   // of the service, as on Azure
	Machine   *azhost.ManagedIdentityCredentialOptions // for a credential of the VM
	Client    azcore.ClientOptions                     // reach the service, whatever the URL's host
	Transport *http.Transport                          // the same, for programs that use net/http alone
	VM        *azhosttest.VM

	close func()
}

// Close ends the service and the VM.
func (s *Service) Close() { s.close() }

// start returns a service whose handler knows the VM that it gets tokens from.
func start(url string, handler func(*azhosttest.VM) http.Handler) (*Service, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a fake Azure VM: %w", err)
	}
	server := httptest.NewTLSServer(handler(vm))
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // one of the names in httptest's certificate
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return &Service{
		URL:       url,
		Machine:   vm.Options(),
		Client:    azcore.ClientOptions{Transport: &http.Client{Transport: transport}},
		Transport: transport,
		VM:        vm,
		close: func() {
			transport.CloseIdleConnections()
			server.Close()
			vm.Close()
		},
	}, nil
}

// errNoToken says that a request has no bearer token, which is how Key Vault's clients begin.
var errNoToken = errors.New("the request has no bearer token")

// caller returns the claims of the request's token, or why the service must refuse it.
func caller(vm *azhosttest.VM, r *http.Request, audiences ...string) (map[string]any, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, errNoToken
	}
	claims, err := vm.Verify(token)
	if err != nil {
		return nil, err
	}
	if audience, _ := claims["aud"].(string); !slices.Contains(audiences, audience) {
		return nil, fmt.Errorf("the token's audience is %s, not %s", audience, strings.Join(audiences, " or "))
	}
	return claims, nil
}

// tenant is the authority that a challenge names.
func tenant() string {
	return "https://login.microsoftonline.com/" + azhosttest.SystemAssigned().TenantID
}

// hostOf returns the host of a URL that is a constant here.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone if it fails
}

// writeError answers as Key Vault, Resource Manager and Data Lake Storage Gen2 do.
func writeError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}
