// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package azhostdefault_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost/azhostdefault"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// rig is what a credential can use: the responses of Azure, and developer tools.
type rig struct {
	*azure
	tools
}

func newRig(t *testing.T, machine func(*azure)) rig {
	t.Helper()
	r := rig{newAzure(t), newTools(t)}
	machine(r.azure)
	return r
}

// same tries both packages' credentials and requires the same outcome, which it returns.
func (r rig) same(t *testing.T, o azidentity.DefaultAzureCredentialOptions, opts policy.TokenRequestOptions) outcome {
	t.Helper()
	if opts.Scopes == nil {
		opts.Scopes = []string{newScope()}
	}
	want := r.try(t, newPeer, o, opts)
	if alone := strings.EqualFold(os.Getenv("AZURE_TOKEN_CREDENTIALS"), "ManagedIdentityCredential"); alone && r.host == nil {
		want.Failed = false // see TestOnlyManagedIdentityOffAzure
	}
	want.Events = append(want.Events, r.ran(t)...)
	got := r.try(t, newOwn, o, opts)
	got.Events = append(got.Events, r.ran(t)...)
	require.Equal(t, want, got)
	require.False(t, r.probed, "azidentity's managed identity credential was used instead of azhost's")
	return got
}

// machines set up what responds to a request for a managed identity's token.
var machines = map[string]func(*azure){
	"off Azure":   func(a *azure) { a.host = nil },
	"on Azure":    func(a *azure) { a.host = a.vm },
	"no identity": func(a *azure) { a.host = a.vm; a.vm.SetIdentities() },
}

// setting is some variables and their values.
type setting map[string]string

// product returns every combination of one setting from each list.
func product(lists ...[]setting) []setting {
	all := []setting{{}}
	for _, list := range lists {
		var longer []setting
		for _, one := range all {
			for _, other := range list {
				both := maps.Clone(one)
				maps.Copy(both, other)
				longer = append(longer, both)
			}
		}
		all = longer
	}
	return all
}

// values returns a setting for each value of a variable, and one without it.
func values(name string, values ...string) []setting {
	settings := []setting{{}}
	for _, value := range values {
		settings = append(settings, setting{name: value})
	}
	return settings
}

// newFile creates a file and returns its name.
func newFile(t *testing.T, content ...[]byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, slices.Concat(content...), 0o600))
	return file
}

// newCertificate creates a file with a certificate and its key, and returns its name.
func newCertificate(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return newFile(t,
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

// Tries every combination of the variables that configure the credentials, with each selection except
// developer tools. az is signed in. The default selection is left out off Azure, where it is the same as
// "prod" followed by az. TestClientIDIsTrimmed covers an empty AZURE_CLIENT_ID.
func TestSameForEveryEnvironment(t *testing.T) {
	certificate := newCertificate(t)
	selections := values("AZURE_TOKEN_CREDENTIALS",
		"prod", "EnvironmentCredential", "WorkloadIdentityCredential", "ManagedIdentityCredential")
	rest := product(
		values("AZURE_CLIENT_ID", user.ClientID, tenant),
		values("AZURE_TENANT_ID", "", tenant, "not a tenant"),
		[]setting{
			{},
			{"AZURE_CLIENT_SECRET": "secret"},
			{"AZURE_CLIENT_CERTIFICATE_PATH": certificate},
			{"AZURE_CLIENT_CERTIFICATE_PATH": certificate + ".missing"},
			{"AZURE_USERNAME": "ada@example.com"},
			{"AZURE_USERNAME": "ada@example.com", "AZURE_PASSWORD": "password"},
		},
		values("AZURE_FEDERATED_TOKEN_FILE", newFile(t, []byte("assertion"))),
	)
	for name, selections := range map[string][]setting{"off Azure": selections[1:], "on Azure": selections} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, machines[name])
			r.are(t, signedIn)
			seen := map[string]bool{}
			for _, s := range product(selections, rest) {
				t.Run(fmt.Sprint(s), func(t *testing.T) {
					setenv(t, s)
					seen[r.same(t, azidentity.DefaultAzureCredentialOptions{}, policy.TokenRequestOptions{}).Token] = true
				})
			}
			want := []string{"", "Entra"} // "" is an error
			if name == "on Azure" {
				want = append(want, managed+" "+system.ObjectID, managed+" "+user.ObjectID)
			}
			require.ElementsMatch(t, want, slices.Collect(maps.Keys(seen)))
		})
	}
}

// Tries every selection, with every state of the developer tools. Off Azure and without an identity, it
// tries only the selections that use a managed identity.
func TestSameForEverySelection(t *testing.T) {
	asking := values("AZURE_TOKEN_CREDENTIALS", "prod", "ManagedIdentityCredential", "managedidentitycredential")
	selections := map[string][]setting{
		"off Azure":   asking,
		"no identity": asking,
		"on Azure": append(asking, values("AZURE_TOKEN_CREDENTIALS",
			"", "dev", "DEV", "Prod", "dev;prod", "EnvironmentCredential", "WorkloadIdentityCredential",
			"AzureCLICredential", "AzureDeveloperCLICredential", "AzurePowerShellCredential",
			"AZURECLICREDENTIAL", "ClientSecretCredential", "DefaultAzureCredential",
		)[1:]...),
	}
	for name, machine := range machines {
		for _, selected := range selections[name] {
			t.Run(fmt.Sprint(name, selected), func(t *testing.T) {
				r := newRig(t, machine)
				setenv(t, selected)
				for _, states := range [][]string{
					{}, {signedIn, signedIn, signedIn}, {refuses, signedIn, signedIn}, {babbles, babbles, signedIn},
					{absent, signedIn}, {refuses, refuses, refuses}, {signedIn, refuses, babbles},
				} {
					r.are(t, states...)
					r.same(t, azidentity.DefaultAzureCredentialOptions{}, policy.TokenRequestOptions{})
				}
			})
		}
	}
}

// Tries every option and every kind of request, with each credential that may depend on it.
func TestSameForEveryOption(t *testing.T) {
	type options = azidentity.DefaultAzureCredentialOptions
	allowed := setting{"AZURE_ADDITIONALLY_ALLOWED_TENANTS": thirdTenant + ";" + tenant}
	type configuration struct {
		name        string
		environment setting
		options     options
	}
	configurations := []configuration{
		{"none", nil, options{}},
		{"required", nil, options{RequireAzureTokenCredentials: true}},
		{"tenant", nil, options{TenantID: otherTenant}},
		{"invalid tenant", nil, options{TenantID: "not a tenant"}},
		{"allowed", nil, options{AdditionallyAllowedTenants: []string{otherTenant}}},
		{"tenant and allowed", nil, options{TenantID: tenant, AdditionallyAllowedTenants: []string{otherTenant}}},
		{"tenant and all allowed", nil, options{TenantID: tenant, AdditionallyAllowedTenants: []string{"*"}}},
		{"variable", allowed, options{}},
		{"tenant and variable", allowed, options{TenantID: tenant}},
		{"tenant, variable and allowed", allowed, options{TenantID: tenant, AdditionallyAllowedTenants: []string{otherTenant}}},
	}
	authorities := []configuration{ // have no effect on tools
		{"no discovery", nil, options{DisableInstanceDiscovery: true}},
		{"cloud", nil, options{ClientOptions: azcore.ClientOptions{Cloud: cloud.AzureGovernment}}},
		{"incomplete cloud", nil, options{ClientOptions: azcore.ClientOptions{Cloud: cloud.Configuration{
			Services: map[cloud.ServiceName]cloud.ServiceConfiguration{cloud.ResourceManager: {}},
		}}}},
		{"authority variable", setting{"AZURE_AUTHORITY_HOST": "https://login.example"}, options{DisableInstanceDiscovery: true}},
		{"invalid authority", setting{"AZURE_AUTHORITY_HOST": "http://login.example"}, options{}},
	}
	requests := map[string]policy.TokenRequestOptions{
		"plain":         {},
		"other tenant":  {TenantID: otherTenant},
		"third tenant":  {TenantID: thirdTenant},
		"not a tenant":  {TenantID: "not a tenant"},
		"claims":        {Claims: `{"access_token":{}}`},
		"CAE":           {EnableCAE: true},
		"no scope":      {Scopes: []string{}},
		"two scopes":    {Scopes: []string{newScope(), newScope()}},
		"invalid scope": {Scopes: []string{"https://resource.example/;exit"}},
	}
	service := setting{"AZURE_CLIENT_ID": tenant, "AZURE_TENANT_ID": tenant}
	for _, source := range []struct {
		name, machine string
		environment   []setting
		tools         []string
	}{
		{"environment", "on Azure", []setting{service, {"AZURE_CLIENT_SECRET": "secret"}}, nil},
		{"workload", "on Azure", []setting{service, {"AZURE_FEDERATED_TOKEN_FILE": newFile(t, []byte("assertion"))}}, nil},
		{"workload without a tenant", "on Azure", []setting{{"AZURE_CLIENT_ID": user.ClientID, "AZURE_FEDERATED_TOKEN_FILE": newFile(t, []byte("assertion"))}}, nil},
		{"managed identity", "on Azure", nil, nil},
		{"az", "off Azure", nil, []string{signedIn}},
		{"all tools", "off Azure", nil, []string{refuses, refuses, signedIn}},
		{"production", "off Azure", []setting{{"AZURE_TOKEN_CREDENTIALS": "prod"}}, nil},
	} {
		t.Run(source.name, func(t *testing.T) {
			r := newRig(t, machines[source.machine])
			for _, s := range source.environment {
				setenv(t, s)
			}
			r.are(t, source.tools...)
			all := configurations
			if source.tools == nil {
				all = slices.Concat(configurations, authorities)
			}
			for _, c := range all {
				for name, request := range requests {
					t.Run(c.name+"/"+name, func(t *testing.T) {
						setenv(t, c.environment)
						r.same(t, c.options, request)
					})
				}
			}
		})
	}
}

// If Entra rejects the service principal, neither package tries the managed identity.
func TestSameWhenEntraRejects(t *testing.T) {
	for _, selected := range values("AZURE_TOKEN_CREDENTIALS", "prod", "EnvironmentCredential", "WorkloadIdentityCredential") {
		for _, configured := range []setting{
			{"AZURE_CLIENT_SECRET": "wrong"},
			{"AZURE_FEDERATED_TOKEN_FILE": newFile(t, []byte("wrong"))},
			{"AZURE_FEDERATED_TOKEN_FILE": "missing"},
			{"AZURE_USERNAME": "ada@example.com", "AZURE_PASSWORD": "wrong"},
		} {
			t.Run(fmt.Sprint(selected, configured), func(t *testing.T) {
				r := newRig(t, machines["on Azure"])
				r.deny = true
				setenv(t, setting{"AZURE_CLIENT_ID": tenant, "AZURE_TENANT_ID": tenant})
				setenv(t, selected)
				setenv(t, configured)
				got := r.same(t, azidentity.DefaultAzureCredentialOptions{}, policy.TokenRequestOptions{})
				require.Empty(t, got.Token)
				require.NotContains(t, got.Attempts, managed)
				r.vm.RequireRequests(t, 0)
			})
		}
	}
}

// Tries hosts other than a VM, with and without an identity that the host can't select.
func TestSameOnOtherHosts(t *testing.T) {
	for name, create := range map[string]func() host{
		"App Service": func() host { return azhosttest.NewAppService(t) },
		"Cloud Shell": func() host { return azhosttest.NewCloudShell(t) },
		"Azure ML":    func() host { return azhosttest.NewAzureML(t) },
	} {
		for _, s := range product(
			values("AZURE_TOKEN_CREDENTIALS", "prod", "ManagedIdentityCredential", "AzureCLICredential"),
			values("AZURE_CLIENT_ID", system.ClientID, user.ClientID),
		) {
			t.Run(fmt.Sprint(name, s), func(t *testing.T) {
				h := create()
				h.Setenv(t)
				r := newRig(t, func(a *azure) { a.host = h })
				r.are(t, signedIn)
				setenv(t, s)
				r.same(t, azidentity.DefaultAzureCredentialOptions{}, policy.TokenRequestOptions{})
			})
		}
	}
}

// If only the managed identity is selected, azidentity retries off Azure and returns an
// AuthenticationFailedError. azhost always returns a CredentialUnavailableError, so that an outer chain
// continues.
func TestOnlyManagedIdentityOffAzure(t *testing.T) {
	t.Setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
	r := newRig(t, machines["off Azure"])
	opts := policy.TokenRequestOptions{Scopes: []string{newScope()}}
	want := r.try(t, newPeer, azidentity.DefaultAzureCredentialOptions{}, opts)
	require.True(t, want.Failed)
	want.Failed = false
	require.Equal(t, want, r.try(t, newOwn, azidentity.DefaultAzureCredentialOptions{}, opts))
}

// silence is a Transport that can't connect.
type silence struct{ requests int }

func (s *silence) Do(req *http.Request) (*http.Response, error) {
	s.requests++
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
}

// containerGroup has the variables of Azure Container Instances, which show that the machine is on Azure.
var containerGroup = setting{"IDENTITY_HEADER": "secret", "IDENTITY_SERVER_THUMBPRINT": "thumbprint", "IDENTITY_API_VERSION": "2020-05-01"}

// On a machine known to be on Azure, azhost waits for a silent IMDS only if no other credential follows.
func TestSilentIMDS(t *testing.T) {
	newTools(t).are(t)
	setenv(t, containerGroup)
	for _, row := range []struct {
		selected setting
		requests int
	}{
		{setting{}, 1},
		{setting{"AZURE_TOKEN_CREDENTIALS": "prod"}, 6},
		{setting{"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential"}, 6},
	} {
		t.Run(fmt.Sprint(row.selected), func(t *testing.T) {
			setenv(t, row.selected)
			synctest.Test(t, func(t *testing.T) {
				var network silence
				var o azidentity.DefaultAzureCredentialOptions
				o.Transport = &network
				cred, err := newOwn(&o)
				require.NoError(t, err)
				start := time.Now()
				_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{newScope()}})
				require.ErrorContains(t, err, "169.254.169.254")
				require.Equal(t, row.requests, network.requests)
				require.Equal(t, row.requests > 1, time.Since(start) > time.Minute)
			})
		})
	}
}

// After a response of IMDS, azhost retries even if other credentials follow. A rejection is final.
func TestFailingIMDS(t *testing.T) {
	setenv(t, containerGroup)
	for name, row := range map[string]struct {
		fault    azhosttest.Fault
		requests int
		err      string
	}{
		"updating": {azhosttest.Updating(), 5, ""},
		"denied":   {azhosttest.Denied(), 1, "403"},
		"resource": {azhosttest.InvalidResource(), 1, "AADSTS50001"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				vm.Fail(slices.Repeat([]azhosttest.Fault{row.fault}, 4)...)
				var o azidentity.DefaultAzureCredentialOptions
				o.Transport = vm
				cred, err := newOwn(&o)
				require.NoError(t, err)
				_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{newScope()}})
				if row.err == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, row.err)
				}
				vm.RequireRequests(t, row.requests)
			})
		})
	}
}

// Nil options are the zero options.
func TestNilOptions(t *testing.T) {
	for _, selected := range values("AZURE_TOKEN_CREDENTIALS", "", "dev", "prod", "ManagedIdentityCredential", "another") {
		t.Run(fmt.Sprint(selected), func(t *testing.T) {
			setenv(t, selected)
			_, want := azidentity.NewDefaultAzureCredential(nil)
			_, got := azhostdefault.NewDefaultAzureCredential(nil)
			require.Equal(t, want, got)
		})
	}
}
