// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package laptop lets the example run on a machine that isn't on Azure. It has a fake Azure VM, and fakes of
// Microsoft Entra ID and Resource Manager that respond over TLS under their real names.
package laptop

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

const (
	Tenant = "22222222-2222-2222-2222-222222222222" // of the subscription
	App    = "33333333-3333-3333-3333-333333333333" // client ID of the app registration
)

// Azure is a VM in one tenant and a subscription in another. It is safe for concurrent use.
type Azure struct {
	Machine   *azhost.ManagedIdentityCredentialOptions
	Transport *http.Client // reaches Entra and Resource Manager
	VM        *azhosttest.VM

	cloud    cloud.Configuration
	audience string // of the tokens that Microsoft Entra ID exchanges
	identity azhosttest.Identity
	server   *fake.Server

	mu     sync.Mutex
	issued map[string]string // the scope of each token from Microsoft Entra ID
}

// Start starts the fakes of a cloud. Microsoft Entra ID exchanges tokens with the given audience.
func Start(c cloud.Configuration, audience string) (*Azure, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a fake Azure VM: %w", err)
	}
	a := &Azure{VM: vm, cloud: c, audience: audience, identity: azhosttest.UserAssigned("app"), issued: map[string]string{}}
	vm.SetIdentities(azhosttest.SystemAssigned(), a.identity)
	vm.SetClaims(map[string]any{"iss": a.issuer()})
	a.Machine = vm.Options()
	a.Machine.ID = azhost.ClientID(a.identity.ClientID)

	mux := http.NewServeMux()
	login, manager := fake.HostOf(c.ActiveDirectoryAuthorityHost), fake.HostOf(c.Services[cloud.ResourceManager].Endpoint)
	mux.HandleFunc("GET "+login+"/common/discovery/instance", discover)
	mux.HandleFunc("GET "+login+"/{tenant}/v2.0/.well-known/openid-configuration", configure)
	mux.HandleFunc("POST "+login+"/{tenant}/oauth2/v2.0/token", a.exchange)
	mux.HandleFunc("GET "+manager+"/subscriptions", a.subscriptions)
	a.server = fake.Serve(mux)
	a.Transport = &http.Client{Transport: a.server.Transport}
	return a, nil
}

// Close stops the fakes.
func (a *Azure) Close() {
	a.server.Close()
	a.VM.Close()
}

// issuer is the issuer of the machine's tokens, which the app's federated credential names.
func (a *Azure) issuer() string {
	return a.cloud.ActiveDirectoryAuthorityHost + a.identity.TenantID + "/v2.0"
}
