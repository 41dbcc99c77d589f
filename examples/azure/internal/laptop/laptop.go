// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package laptop is the part of the examples that you don't need to copy. It lets them run on a
// machine outside Azure against a fake service and a fake Azure VM.
//
// The fakes listen on loopback and respond under the services' real names. They check the signature, expiry,
// and audience of every token, and reject a token with the status, the challenge, and the error format of the
// real service, but with different error texts. They implement only the requests that the examples send.
package laptop

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

// Service is a fake service and a fake VM whose tokens the service accepts. It is safe for
// concurrent use.
type Service struct {
	URL       string                                   // URL of the service, as on Azure
	Machine   *azhost.ManagedIdentityCredentialOptions // options for a credential of the VM
	Client    azcore.ClientOptions                     // options for a client of the service
	Transport http.RoundTripper                        // the transport in Client, for programs that use net/http
	VM        *azhosttest.VM

	target string // value of the program's flag that names the service
	close  func()
}

// Close stops the service and the VM.
func (s *Service) Close() { s.close() }

// Start returns the service that a program calls. target is the value of the flag that names the service. If
// it is empty, Start starts fake and sets target to its URL. Otherwise the program calls the real service
// with the identity of the machine that it runs on, so every field of the result is zero or points to a zero
// value, and Close does nothing.
func Start(target *string, fake func() (*Service, error)) (*Service, error) {
	if *target != "" {
		return &Service{Machine: &azhost.ManagedIdentityCredentialOptions{}, close: func() {}}, nil
	}
	s, err := fake()
	if err != nil {
		return nil, err
	}
	*target = s.target
	return s, nil
}

// start starts a VM and a service. handler returns the service's handler, which checks tokens with
// the VM.
func start(url string, handler func(*azhosttest.VM) http.Handler) (*Service, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a fake Azure VM: %w", err)
	}
	server := fake.Serve(handler(vm))
	return &Service{
		URL:       url,
		Machine:   vm.Options(),
		Client:    azcore.ClientOptions{Transport: &http.Client{Transport: server.Transport}},
		Transport: server.Transport,
		VM:        vm,
		target:    url,
		close: func() {
			server.Close()
			vm.Close()
		},
	}, nil
}

// errNoToken is the error of a request without a token, such as a Key Vault client's first one.
var errNoToken = errors.New("the request has no bearer token")

// caller returns the claims of the request's bearer token, or the reason to reject the request.
func caller(vm *azhosttest.VM, r *http.Request, audiences ...string) (map[string]any, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return nil, errNoToken
	}
	return check(vm, token, audiences...)
}

// check returns the claims of a token, or the reason to reject it.
func check(vm *azhosttest.VM, token string, audiences ...string) (map[string]any, error) {
	claims, err := vm.Verify(token)
	if err != nil {
		return nil, err
	}
	if audience, _ := claims["aud"].(string); !slices.Contains(audiences, audience) {
		return nil, fmt.Errorf("the token's audience is %s, not %s", audience, strings.Join(audiences, " or "))
	}
	return claims, nil
}

// tenant returns the authority that a challenge names.
func tenant() string {
	return "https://login.microsoftonline.com/" + azhosttest.SystemAssigned().TenantID
}

// writeError writes an error in the form that most Azure services share.
func writeError(w http.ResponseWriter, status int, code, message string) {
	fake.WriteJSON(w, status, map[string]any{"error": map[string]any{"code": code, "message": message}})
}
