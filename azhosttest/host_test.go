// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"crypto/ecdsa"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// get sends a request as a client without azhost would.
func get(t *testing.T, endpoint, query string, header ...string) (int, http.Header, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint+"?"+query, nil)
	require.NoError(t, err)
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var fields map[string]any
	_ = json.Unmarshal(body, &fields) // empty and HTML bodies stay nil
	return resp.StatusCode, resp.Header, fields
}

// unshared returns a credential with a separate cache.
func unshared(t *testing.T, o *azhost.ManagedIdentityCredentialOptions) *azhost.ManagedIdentityCredential {
	t.Helper()
	if client, ok := o.Transport.(*http.Client); ok {
		another := *client
		o.Transport = &another
	} else {
		o.Transport = &wrapped{o.Transport}
	}
	cred, err := azhost.NewManagedIdentityCredential(o)
	require.NoError(t, err)
	return cred
}

type wrapped struct{ policy.Transporter }

func getToken(t *testing.T, o *azhost.ManagedIdentityCredentialOptions) (string, error) {
	t.Helper()
	cred := unshared(t, o)
	tk, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	return tk.Token, err
}

func TestVMResponses(t *testing.T) {
	t.Parallel()
	a, b := azhosttest.UserAssigned("a"), azhosttest.UserAssigned("b")
	const good = "api-version=2018-02-01&resource=https://r"
	for _, test := range []struct {
		name       string
		identities []azhosttest.Identity
		query      string
		header     string
		status     int
		want       string // part of the error, or the object ID
	}{
		{"system-assigned", []azhosttest.Identity{a, azhosttest.SystemAssigned()}, good, "Metadata: true", 200, azhosttest.SystemAssigned().ObjectID},
		{"the only user-assigned", []azhosttest.Identity{a}, good, "Metadata: true", 200, a.ObjectID},
		{"by client ID", []azhosttest.Identity{a, b}, good + "&client_id=" + strings.ToUpper(b.ClientID), "Metadata: true", 200, b.ObjectID},
		{"by object ID", []azhosttest.Identity{a, b}, good + "&object_id=" + b.ObjectID, "Metadata: true", 200, b.ObjectID},
		{"by resource ID", []azhosttest.Identity{a, b}, good + "&msi_res_id=" + url.QueryEscape(b.ResourceID), "Metadata: true", 200, b.ObjectID},
		{"no identity", nil, good, "Metadata: true", 400, "Identity not found"},
		{"unknown identity", []azhosttest.Identity{a}, good + "&client_id=x", "Metadata: true", 400, "Identity not found"},
		{"several", []azhosttest.Identity{a, b}, good, "Metadata: true", 400, "Multiple user assigned identities"},
		{"no Metadata header", []azhosttest.Identity{a}, good, "X: y", 400, "Required metadata header"},
		{"Metadata in capitals", []azhosttest.Identity{a}, good, "Metadata: True", 400, "Required metadata header"},
		{"no api-version", []azhosttest.Identity{a}, "resource=https://r", "Metadata: true", 400, "api-version"},
		{"no resource", []azhosttest.Identity{a}, "api-version=2018-02-01", "Metadata: true", 400, "resource"},
		{"doubled parameter", []azhosttest.Identity{a}, good + "&resource=https://s", "Metadata: true", 400, "more than once"},
		{"two selectors", []azhosttest.Identity{a}, good + "&client_id=x&object_id=y", "Metadata: true", 400, "More than one identity"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			vm := azhosttest.NewVM(t)
			vm.SetIdentities(test.identities...)
			status, header, fields := get(t, vm.Endpoint(), test.query, test.header)
			require.Equal(t, test.status, status)
			require.True(t, strings.HasPrefix(header.Get("Server"), "IMDS/"))
			require.NotEmpty(t, header.Get("x-ms-request-id"))
			if test.status == 200 {
				claims, err := vm.Verify(fields["access_token"].(string))
				require.NoError(t, err)
				require.Equal(t, test.want, claims["oid"])
				require.Equal(t, "https://r", claims["aud"])
				require.IsType(t, "", fields["expires_on"])
			} else {
				require.Contains(t, fields["error"].(string)+": "+text(fields["error_description"]), test.want)
			}
			require.Equal(t, test.status, vm.Requests()[0].Status)
		})
	}
	vm := azhosttest.NewVM(t)
	status, _, _ := get(t, vm.Endpoint(), good, "Metadata: true", "X-Forwarded-For: 10.0.0.1")
	require.Equal(t, 400, status)
	resp, err := http.Post(vm.Endpoint()+"?"+good, "", nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 405, resp.StatusCode)
	status, _, _ = get(t, vm.Endpoint()+"/elsewhere", good, "Metadata: true")
	require.Equal(t, 404, status)
}

func text(v any) string { s, _ := v.(string); return s }

func TestArcResponses(t *testing.T) {
	t.Parallel()
	a := azhosttest.NewArc(t)
	a.SetIdentities(azhosttest.SystemAssigned(), azhosttest.UserAssigned("a"))
	const query = "api-version=2020-06-01&resource=https://r"
	challenge := func() (path, key string) {
		t.Helper()
		status, header, _ := get(t, a.Endpoint(), query, "Metadata: true")
		require.Equal(t, 401, status)
		path, ok := strings.CutPrefix(header.Get("WWW-Authenticate"), "Basic realm=")
		require.True(t, ok)
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return path, string(content)
	}
	path, key := challenge()
	status, _, fields := get(t, a.Endpoint(), query, "Metadata: true", "Authorization: Basic "+key)
	require.Equal(t, 200, status)
	_, err := a.Verify(fields["access_token"].(string))
	require.NoError(t, err)
	require.NoFileExists(t, path)
	status, _, _ = get(t, a.Endpoint(), query, "Metadata: true", "Authorization: Basic "+key)
	require.Equal(t, 401, status, "a key is valid for one request")

	_, key = challenge()
	a.Restart()
	status, _, _ = get(t, a.Endpoint(), query, "Metadata: true", "Authorization: Basic "+key)
	require.Equal(t, 401, status)

	_, key = challenge()
	status, _, fields = get(t, a.Endpoint(), query+"&client_id=unknown", "Metadata: true", "Authorization: Basic "+key)
	require.Equal(t, 404, status)
	require.Equal(t, "identity_not_found", fields["error"])
	for _, r := range a.Requests() {
		require.NotContains(t, r.Header.Get("Authorization"), key)
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]func(*azhosttest.VM) *azhost.ManagedIdentityCredentialOptions{
		"over loopback": func(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions { return vm.Options() },
		"in memory":     func(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions { return vm.InMemory() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			vm := azhosttest.NewVM(t)
			_, err := getToken(t, options(vm))
			require.NoError(t, err)
			for fault, want := range map[*azhosttest.Fault]string{
				{Drop: true}: "EOF",
				{Cut: true}:  "cut short",
				{Status: 418, Body: `{"error":"teapot","error_description":"short and stout"}`}: "teapot: short and stout",
				ptr(azhosttest.InvalidResource()):                                               "AADSTS50001",
				ptr(azhosttest.Portal()):                                                        "Please sign in",
			} {
				vm.Fail(*fault)
				o := options(vm)
				o.Retry.MaxRetries = -1
				_, err := getToken(t, o)
				require.ErrorContains(t, err, want)
			}
			vm.Stop()
			o := options(vm)
			o.Retry.MaxRetries = -1
			_, err = getToken(t, o)
			require.ErrorContains(t, err, "refused")
			require.NoError(t, vm.Start())
			_, err = getToken(t, options(vm))
			require.NoError(t, err)
		})
	}
}

func ptr[T any](v T) *T { return &v }

func TestTimedFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())
		start := time.Now()
		_, err := getToken(t, vm.InMemory())
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(start), 70*time.Second)

		vm.FailWhile(nil)
		vm.SetLatency(3 * time.Second)
		start = time.Now()
		_, err = getToken(t, vm.InMemory())
		require.NoError(t, err)
		require.Equal(t, 3*time.Second, time.Since(start))

		vm.SetLatency(0)
		vm.FailRandomly(0.5, 1, azhosttest.ServerError(), azhosttest.WireServer(), azhosttest.Throttled(time.Second))
		before := len(vm.Requests())
		for range 20 {
			_, err = getToken(t, vm.InMemory())
			require.NoError(t, err)
		}
		require.Greater(t, len(vm.Requests())-before, 25)

		vm.FailWhile(nil)
		vm.Silence(true)
		_, err = getToken(t, vm.InMemory())
		var unavailable *azhost.CredentialUnavailableError
		require.ErrorAs(t, err, &unavailable)
	})
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.Throttle(20, 5)
		once := func() *azhost.ManagedIdentityCredentialOptions {
			o := vm.InMemory()
			o.Retry.MaxRetries = -1
			return o
		}
		for n := range 25 {
			_, err := getToken(t, once())
			require.Equal(t, n >= 20, err != nil, "request %d", n)
		}
		time.Sleep(time.Second)
		_, err := getToken(t, once())
		require.NoError(t, err)
	})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.SetClaims(map[string]any{"roles": []string{"Reader"}})
	vm.SetTokenLifetime(time.Hour)
	vm.SetRefreshIn(10 * time.Minute)
	tk, err := getToken(t, vm.InMemory())
	require.NoError(t, err)
	claims, err := vm.Verify(tk)
	require.NoError(t, err)
	require.Equal(t, []any{"Reader"}, claims["roles"])
	require.InDelta(t, time.Now().Add(time.Hour).Unix(), claims["exp"], 5)
	_, err = vm.Verify(tk[:len(tk)-2] + "AA")
	require.Error(t, err)
	_, err = azhosttest.NewVM(t).Verify(tk)
	require.Error(t, err, "every host has a different key")
	_, err = vm.Verify("")
	require.Error(t, err)

	other, err := getToken(t, vm.InMemory())
	require.NoError(t, err)
	require.NotEqual(t, tk, other)

	resp, err := http.Get(strings.Replace(vm.Endpoint(), "/metadata/identity/oauth2/token", "/.well-known/jwks.json", 1))
	require.NoError(t, err)
	defer resp.Body.Close()
	var set struct {
		Keys []struct{ X, Y, Kty string }
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&set))
	require.Len(t, set.Keys, 1)
	require.Equal(t, "EC", set.Keys[0].Kty)
	var _ *ecdsa.PublicKey = vm.PublicKey()

	vm.AllowResources("https://storage.azure.com/")
	_, err = getToken(t, vm.InMemory())
	require.ErrorContains(t, err, "AADSTS50001")
}

func TestArcSetenv(t *testing.T) {
	t.Setenv("IDENTITY_HEADER", "of another host")
	a, err := azhosttest.ListenArc("127.0.0.1:0", t.TempDir())
	require.NoError(t, err)
	defer a.Close()
	a.Setenv(t)
	cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{ArcKeyDirectory: a.KeyDirectory()})
	require.NoError(t, err)
	require.Equal(t, azhost.SourceAzureArc, cred.Source())
	_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://r"}})
	require.NoError(t, err)
	a.RequireRequests(t, 2)
	a.RequireResource(t, "https://r")
}

func TestSetenvUnsupported(t *testing.T) {
	listening, err := azhosttest.ListenArc("127.0.0.1:0", "")
	require.NoError(t, err)
	defer listening.Close()
	for name, host := range map[string]interface{ Setenv(testing.TB) }{
		"VM": azhosttest.NewVM(t), "Arc": azhosttest.NewArc(t), "listening Arc": listening,
	} {
		f := &failing{TB: t}
		host.Setenv(f)
		require.Contains(t, f.message.Load(), "use NewAppService", name)
	}
}

func TestListenArcCleansUp(t *testing.T) {
	t.Parallel()
	a, err := azhosttest.ListenArc("127.0.0.1:0", "")
	require.NoError(t, err)
	_, err = getToken(t, a.Options())
	require.NoError(t, err)
	o := a.Options()
	o.Retry.MaxRetries = -1
	a.Close()
	require.NoDirExists(t, a.KeyDirectory())
	_, err = getToken(t, o)
	require.Error(t, err)
	_, err = azhosttest.ListenArc("256.0.0.1:0", "")
	require.Error(t, err)
}
