// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestRequestLog(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	seen := make(chan azhosttest.Request, 2)
	vm.OnRequest(func(r azhosttest.Request) { seen <- r })
	get(t, vm.Endpoint(), "api-version=2018-02-01&resource=https://r&client_id=x&object_id=y",
		"Metadata: true", "Authorization: Basic key", "Secret: key", "X-IDENTITY-HEADER: key")
	r := vm.Requests()[0]
	require.Equal(t, r, <-seen)
	require.Equal(t, "GET", r.Method)
	require.Equal(t, "/metadata/identity/oauth2/token", r.Path)
	require.Equal(t, "2018-02-01", r.Query.Get("api-version"))
	require.Equal(t, "https://r", r.Resource)
	require.Equal(t, "client_id=x&object_id=y", r.Selector)
	require.Equal(t, 400, r.Status)
	require.True(t, strings.HasPrefix(r.Remote, "127.0.0.1:"))
	require.Equal(t, "true", r.Header.Get("Metadata"))
	require.NotContains(t, fmt.Sprint(r), "key")
	require.False(t, r.Time.IsZero())

	vm.OnRequest(nil)
	newTokenInMemory(t, vm, good)
	require.Empty(t, vm.Requests()[1].Remote)
	require.Equal(t, 200, vm.Requests()[1].Status)
	require.Empty(t, seen)
}

func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) { return azhosttest.Updating(), true })
	for n := range 10_001 {
		_, err := do(t, memory{vm}, t.Context(), fmt.Sprintf("?resource=%d", n))
		require.NoError(t, err)
	}
	require.Equal(t, 10_001, vm.RequestCount())
	require.Len(t, vm.Requests(), 10_000)
	require.Equal(t, "1", vm.Requests()[0].Resource)
	require.Equal(t, "10000", vm.Requests()[9_999].Resource)
}

// failing is a testing.TB that records its failure.
type failing struct {
	testing.TB
	message atomic.Value
}

func (f *failing) Helper()                           {}
func (f *failing) Logf(string, ...any)               {}
func (f *failing) Fatal(args ...any)                 { f.message.Store(fmt.Sprint(args...)) }
func (f *failing) Fatalf(format string, args ...any) { f.message.Store(fmt.Sprintf(format, args...)) }

func TestAssertions(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	newTokenInMemory(t, vm, good)
	resp, err := do(t, memory{vm}, t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, 400, resp.StatusCode)
	for name, test := range map[string]struct {
		assert func(testing.TB)
		want   any
	}{
		"count holds":     {func(t testing.TB) { vm.RequireRequests(t, 2) }, nil},
		"count is lower":  {func(t testing.TB) { vm.RequireRequests(t, 3) }, "the host received 2 requests, want 3"},
		"count is higher": {func(t testing.TB) { vm.RequireRequests(t, 1) }, "the host received 2 requests, want 1"},
		"resource holds":  {func(t testing.TB) { vm.RequireResource(t, "https://r") }, nil},
		"another":         {func(t testing.TB) { vm.RequireResource(t, "https://r/") }, `the host got no request for "https://r/", only for ["https://r" ""]`},
		"tokens hold":     {func(t testing.TB) { vm.RequireTokens(t, 1) }, nil},
		"fewer tokens":    {func(t testing.TB) { vm.RequireTokens(t, 2) }, "the host issued 1 tokens, want 2"},
		"more tokens":     {func(t testing.TB) { vm.RequireTokens(t, 0) }, "the host issued 1 tokens, want 0"},
	} {
		f := &failing{}
		test.assert(f)
		require.Equal(t, test.want, f.message.Load(), name)
	}
}

func TestTokenCount(t *testing.T) {
	t.Parallel()
	a := azhosttest.NewArc(t)
	_, err := getToken(t, a.InMemory())
	require.NoError(t, err)
	a.RequireRequests(t, 2)
	a.RequireTokens(t, 1)

	vm := azhosttest.NewVM(t)
	vm.ReuseTokens(true)
	vm.Fail(azhosttest.Fault{Body: `{"access_token":"x"}`}, azhosttest.Fault{Cut: true})
	for range 4 {
		_, err := do(t, memory{vm}, t.Context(), good)
		require.NoError(t, err)
	}
	vm.RequireTokens(t, 3) // the fault's body isn't a token of the host; the cut response and the repeated token are
}

func TestVMRejectsInvalidRequests(t *testing.T) {
	t.Parallel()
	a := azhosttest.UserAssigned("a")
	for _, test := range []struct {
		name, query, header string
		status              int
		want                string
	}{
		{"mi_res_id", good + "&mi_res_id=" + strings.ToUpper(a.ResourceID), "", 200, ""},
		{"blank selector", good + "&client_id=", "", 400, "Identity not found"},
		{"oldest api-version", "?api-version=2018-02-01&resource=r", "", 200, ""},
		{"api-version too old", "?api-version=2018-01-31&resource=r", "", 400, "newest-versions"},
		{"invalid api-version", "?api-version=3018&resource=r", "", 400, "newest-versions"},
		{"parameter repeated with the same value", good + "&api-version=2020-06-01", "", 400, "api-version is given more than once"},
		{"Metadata twice", good, "Metadata", 400, "Required metadata header"},
		{"blank X-Forwarded-For", good, "X-Forwarded-For", 400, "X-Forwarded-For"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			vm := azhosttest.NewVM(t)
			vm.SetIdentities(a)
			for transport, client := range map[string]http.RoundTripper{"loopback": http.DefaultTransport, "memory": memory{vm}} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, vm.Endpoint()+test.query, nil)
				require.NoError(t, err)
				req.Header.Set("Metadata", "true")
				if test.header != "" {
					req.Header.Add(test.header, map[string]string{"Metadata": "true"}[test.header])
				}
				resp, err := client.RoundTrip(req)
				require.NoError(t, err)
				body := new(strings.Builder)
				require.NoError(t, resp.Write(body))
				require.NoError(t, resp.Body.Close())
				require.Equal(t, test.status, resp.StatusCode, transport)
				require.Contains(t, body.String(), test.want, transport)
				require.Equal(t, "IMDS/150.870.65.1854", resp.Header.Get("Server"), transport)
				require.Equal(t, "application/json; charset=utf-8", resp.Header.Get("Content-Type"), transport)
			}
		})
	}
}

func TestOpenIDConfiguration(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	tenant := azhosttest.SystemAssigned().TenantID
	client := http.Client{Transport: memory{vm}}
	published := func(url string) map[string]any {
		resp, err := client.Get(url)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, 200, resp.StatusCode)
		var fields map[string]any
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&fields))
		return fields
	}
	for _, url := range []string{vm.Issuer(), "https://login.microsoftonline.com/" + tenant + "/", "https://login.microsoftonline.com/"} {
		configuration := published(url + ".well-known/openid-configuration")
		require.Equal(t, "https://sts.windows.net/"+tenant+"/", configuration["issuer"])
		require.Equal(t, "https://"+strings.Split(url, "/")[2]+"/.well-known/jwks.json", configuration["jwks_uri"])
		require.Equal(t, []any{"ES256"}, configuration["id_token_signing_alg_values_supported"])
		require.Len(t, published(configuration["jwks_uri"].(string))["keys"], 1)
	}

	client.Transport = http.DefaultTransport
	issuer := vm.ServeIssuer()
	require.Equal(t, issuer, vm.Issuer())
	configuration := published(issuer + ".well-known/openid-configuration")
	require.Equal(t, issuer, configuration["issuer"])
	require.Len(t, published(configuration["jwks_uri"].(string))["keys"], 1)
	claims, err := vm.Verify(newTokenInMemory(t, vm, good))
	require.NoError(t, err)
	require.Equal(t, issuer, claims["iss"])
	vm.RequireRequests(t, 1)
	status, _, _ := get(t, issuer+"elsewhere/openid-configuration", "")
	require.Equal(t, 404, status)
}

func TestKeySet(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) { return azhosttest.Updating(), true })
	status, header, fields := get(t, strings.TrimSuffix(vm.Endpoint(), "/metadata/identity/oauth2/token")+"/.well-known/jwks.json", "")
	require.Equal(t, 200, status)
	require.Equal(t, "application/json; charset=utf-8", header.Get("Content-Type"))
	vm.RequireRequests(t, 0)

	vm.FailWhile(nil)
	require.Len(t, fields["keys"], 1)
	key := fields["keys"].([]any)[0].(map[string]any)
	x, err := base64.RawURLEncoding.DecodeString(text(key["x"]))
	require.NoError(t, err)
	y, err := base64.RawURLEncoding.DecodeString(text(key["y"]))
	require.NoError(t, err)
	published, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	require.NoError(t, err)
	require.True(t, vm.PublicKey().Equal(published))
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(newTokenInMemory(t, vm, good), ".")[0])
	require.NoError(t, err)
	require.JSONEq(t, fmt.Sprintf(`{"alg":"ES256","typ":"JWT","kid":%q}`, key["kid"]), string(head))
}
