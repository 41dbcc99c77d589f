// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// Tests that set the environment for azidentity aren't parallel.

// resources counts resources. Each is new, because MSAL's cache belongs to the process.
var resources atomic.Int64

func newResource() string { return fmt.Sprintf("https://resource-%d.example", resources.Add(1)) }

// host is what the fakes have in common.
type host interface {
	SetIdentities(...azhosttest.Identity)
	Verify(token string) (map[string]any, error)
	RequireResource(testing.TB, string)
	Setenv(testing.TB)
}

// ask gets a token with azidentity's credential and returns its claims, which the host has verified.
func ask(t *testing.T, h host, transport policy.Transporter, id azidentity.ManagedIDKind) (map[string]any, error) {
	t.Helper()
	o := azidentity.ManagedIdentityCredentialOptions{ID: id}
	o.Transport = transport
	o.Retry.MaxRetries = -1
	cred, err := azidentity.NewManagedIdentityCredential(&o)
	if err != nil {
		return nil, err
	}
	resource := newResource()
	token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
	if err != nil {
		return nil, err
	}
	h.RequireResource(t, resource)
	claims, err := h.Verify(token.Token)
	require.NoError(t, err)
	require.Equal(t, resource, claims["aud"])
	require.EqualValues(t, claims["exp"], token.ExpiresOn.Unix())
	return claims, nil
}

// noTransport is nil, so that the credential uses its default.
var noTransport policy.Transporter

var (
	system = azhosttest.SystemAssigned()
	user   = azhosttest.UserAssigned("user")
	other  = azhosttest.UserAssigned("other")
)

// row is a case that applies to most hosts.
type row struct {
	name       string
	identities []azhosttest.Identity
	id         azidentity.ManagedIDKind
	want       string // the object ID, or "" for an error
	err        string
}

func (r row) check(t *testing.T, h host, transport policy.Transporter) {
	t.Helper()
	h.SetIdentities(r.identities...)
	claims, err := ask(t, h, transport, r.id)
	if r.want == "" {
		require.ErrorContains(t, err, r.err)
		return
	}
	require.NoError(t, err)
	require.Equal(t, r.want, claims["oid"])
}

var all = []azhosttest.Identity{other, system, user}

// selecting returns the cases of a host that accepts all three kinds of ID.
func selecting(refusal, refusalWithoutSelector string) []row {
	return []row{
		{"system-assigned", all, nil, system.ObjectID, ""},
		{"by client ID", all, azidentity.ClientID(user.ClientID), user.ObjectID, ""},
		{"by object ID", all, azidentity.ObjectID(user.ObjectID), user.ObjectID, ""},
		{"by resource ID", all, azidentity.ResourceID(user.ResourceID), user.ObjectID, ""},
		{"unknown client ID", []azhosttest.Identity{system, other}, azidentity.ClientID(user.ClientID), "", refusal},
		{"unknown object ID", []azhosttest.Identity{system, other}, azidentity.ObjectID(user.ObjectID), "", refusal},
		{"unknown resource ID", []azhosttest.Identity{system, other}, azidentity.ResourceID(user.ResourceID), "", refusal},
		{"no identity", nil, nil, "", refusalWithoutSelector},
	}
}

func TestVM(t *testing.T) {
	for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET"} {
		t.Setenv(name, "") // removes the variables of other hosts
	}
	for _, r := range append(selecting("isn't assigned to this resource", "Identity not found"),
		row{"the only user-assigned", []azhosttest.Identity{user}, nil, user.ObjectID, ""},
		row{"several user-assigned", []azhosttest.Identity{user, other}, nil, "", "Multiple user assigned identities"},
	) {
		t.Run(r.name, func(t *testing.T) {
			memory := azhosttest.NewVM(t)
			r.check(t, memory, memory)
			loopback := azhosttest.NewVM(t)
			r.check(t, loopback, redirected{loopback.Endpoint()})
		})
	}
}

func TestAppService(t *testing.T) {
	const refusal = "No User Assigned or Delegated Managed Identity"
	for _, r := range append(selecting(refusal, "No Managed Identity"),
		row{"the only user-assigned", []azhosttest.Identity{user}, nil, "", "No Managed Identity"},
	) {
		t.Run(r.name, func(t *testing.T) {
			app := azhosttest.NewAppService(t)
			app.Setenv(t)
			r.check(t, app, noTransport)
		})
	}
}

func TestAppServiceRotation(t *testing.T) {
	app := azhosttest.NewAppService(t)
	app.Setenv(t)
	o := azidentity.ManagedIdentityCredentialOptions{}
	o.Retry.MaxRetries = -1
	cred, err := azidentity.NewManagedIdentityCredential(&o)
	require.NoError(t, err)
	get := func() error {
		_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{newResource()}})
		return err
	}
	require.NoError(t, get())
	app.RotateHeader()
	require.ErrorContains(t, get(), "401")
	app.Setenv(t)
	require.NoError(t, get())
}

func TestServiceFabric(t *testing.T) {
	for _, r := range []row{
		{"system-assigned", all, nil, system.ObjectID, ""},
		{"user-assigned", []azhosttest.Identity{user}, nil, user.ObjectID, ""},
		{"no identity", nil, nil, "", "ManagedIdentityNotFound"},
		{"client ID", all, azidentity.ClientID(user.ClientID), "", "doesn't support specifying a user-assigned identity"},
	} {
		t.Run(r.name, func(t *testing.T) {
			fabric := azhosttest.NewServiceFabric(t)
			fabric.Setenv(t)
			for name, transport := range map[string]policy.Transporter{"own transport": nil, "the fake's": fabric.Options().Transport} {
				t.Log(name)
				r.check(t, fabric, transport)
			}
		})
	}
}

func TestServiceFabricWrongCertificate(t *testing.T) {
	fabric := azhosttest.NewServiceFabric(t)
	fabric.Setenv(t)
	fabric.UseWrongCertificate(true)
	_, err := ask(t, fabric, noTransport, nil)
	require.ErrorContains(t, err, "did not match IDENTITY_SERVER_THUMBPRINT")
	fabric.RequireRequests(t, 0)
}

func TestCloudShell(t *testing.T) {
	for _, r := range []row{
		{"the user", all, nil, system.ObjectID, ""},
		{"no user", nil, nil, "", "No user is signed in"},
		{"client ID", all, azidentity.ClientID(user.ClientID), "", "doesn't support user-assigned"},
	} {
		t.Run(r.name, func(t *testing.T) {
			shell := azhosttest.NewCloudShell(t)
			shell.Setenv(t)
			r.check(t, shell, noTransport)
		})
	}
	shell := azhosttest.NewCloudShell(t)
	shell.Setenv(t)
	shell.AllowResources("https://another.example")
	_, err := ask(t, shell, noTransport, nil)
	require.ErrorContains(t, err, "AudienceNotSupported")
}

func TestAzureML(t *testing.T) {
	for _, r := range []row{
		{"system-assigned", all, nil, system.ObjectID, ""},
		{"by client ID", all, azidentity.ClientID(user.ClientID), user.ObjectID, ""},
		{"the default", []azhosttest.Identity{user, other}, nil, user.ObjectID, ""},
		{"unknown client ID", []azhosttest.Identity{system}, azidentity.ClientID(user.ClientID), "", "Identity not found"},
		{"no identity", nil, nil, "", "Identity not found"},
		{"object ID", all, azidentity.ObjectID(user.ObjectID), "", "by client ID only"},
	} {
		t.Run(r.name, func(t *testing.T) {
			ml := azhosttest.NewAzureML(t)
			ml.SetIdentities(r.identities...) // before Environment, which depends on them
			ml.Setenv(t)
			r.check(t, ml, noTransport)
		})
	}
}

// redirected sends every request to an endpoint, because azidentity uses only IMDS's real address, to which
// tests must not send anything.
type redirected struct{ endpoint string }

func (r redirected) Do(req *http.Request) (*http.Response, error) {
	to, err := http.NewRequestWithContext(req.Context(), req.Method, r.endpoint+"?"+req.URL.RawQuery, nil)
	if err != nil {
		return nil, err
	}
	to.Header = req.Header.Clone()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return client.Do(to)
}
