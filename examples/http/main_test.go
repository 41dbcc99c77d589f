// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestLaptop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, nil))
	require.Equal(t, "200 OK: hello, identity "+azhosttest.SystemAssigned().ObjectID+"\n", out.String())
}

// App Service stands for a real host, because environment variables lead to its fake.
func TestURL(t *testing.T) {
	host := azhosttest.NewAppService(t)
	host.Setenv(t)
	err := run(t.Context(), io.Discard, []string{"-url", "https://127.0.0.1:1", "-resource", "api://bills"})
	require.ErrorContains(t, err, "127.0.0.1:1")
	host.RequireResource(t, "api://bills")

	err = run(t.Context(), io.Discard, []string{"-url", "http://127.0.0.1:1"})
	require.ErrorContains(t, err, "tokens go to https://127.0.0.1:1 only, not to http://")
	host.RequireRequests(t, 1)
}

// newLaptopClient returns a client of a laptop's service.
func newLaptopClient(t *testing.T, resource string) (*http.Client, *laptop) {
	l, err := newLaptop("api://orders")
	require.NoError(t, err)
	t.Cleanup(l.close)
	cred, err := azhost.NewManagedIdentityCredential(l.vm.Options())
	require.NoError(t, err)
	return &http.Client{Transport: &Transport{
		Host: strings.TrimPrefix(l.service.URL, "https://"), Scope: resource + "/.default", Credential: cred, Base: l.service.Client().Transport,
	}}, l
}

func TestChallengeRepeatsBody(t *testing.T) {
	t.Parallel()
	client, l := newLaptopClient(t, "api://orders")
	for _, body := range []string{"first", "second"} {
		resp, err := client.Post(l.service.URL, "text/plain", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Equal(t, []string{"first", "second"}, l.bodies)
	l.vm.RequireRequests(t, 2)
}

func TestChallengeWithoutGetBody(t *testing.T) {
	t.Parallel()
	client, l := newLaptopClient(t, "api://orders")
	resp, err := client.Post(l.service.URL, "text/plain", io.MultiReader(strings.NewReader("once"))) // no GetBody
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "the token was revoked\n", string(body))
	l.vm.RequireRequests(t, 1)
}

func TestWrongAudience(t *testing.T) {
	t.Parallel()
	client, l := newLaptopClient(t, "api://bills")
	resp, err := client.Get(l.service.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	l.vm.RequireRequests(t, 1)
}

func TestSecondChallengeIsReturned(t *testing.T) {
	t.Parallel()
	requests := 0
	client := &http.Client{Transport: &Transport{
		Host: "service.invalid", Scope: "api://orders/.default", Credential: credential(t),
		Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			requests++
			w := httptest.NewRecorder()
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="e30="`)
			w.WriteHeader(http.StatusUnauthorized)
			return w.Result(), nil
		}),
	}}
	resp, err := client.Get("https://service.invalid")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Equal(t, 2, requests)
}

func TestOtherHosts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, url string }{
		{"no TLS", "http://service.invalid"},
		{"another host", "https://other.invalid"},
		{"another port", "https://service.invalid:8443"},
		{"a subdomain", "https://a.service.invalid"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sent := 0
			client := &http.Client{Transport: &Transport{
				Host: "service.invalid", Scope: "api://orders/.default", Credential: credential(t),
				Base: roundTripper(func(req *http.Request) (*http.Response, error) {
					sent++
					w := httptest.NewRecorder()
					w.Header().Set("Location", test.url)
					w.WriteHeader(http.StatusTemporaryRedirect)
					return w.Result(), nil
				}),
			}}
			_, err := client.Get("https://service.invalid")
			require.ErrorContains(t, err, "tokens go to https://service.invalid only")
			require.Equal(t, 1, sent)

			body := &closing{Reader: strings.NewReader("body")}
			_, err = client.Post(test.url, "text/plain", body)
			require.ErrorContains(t, err, "tokens go to https://service.invalid only")
			require.Equal(t, 1, sent)
			require.True(t, body.closed)
		})
	}
}

func TestRequestIsNotModified(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://service.invalid", nil)
	require.NoError(t, err)
	transport := &Transport{
		Host: "service.invalid", Scope: "api://orders/.default", Credential: credential(t),
		Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			require.True(t, strings.HasPrefix(req.Header.Get("Authorization"), "Bearer ey"))
			return nil, errors.New("gone")
		}),
	}
	_, err = transport.RoundTrip(req)
	require.EqualError(t, err, "gone")
	require.Empty(t, req.Header)
}

func TestNoIdentity(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.SetIdentities()
	cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
	require.NoError(t, err)
	client := &http.Client{Transport: &Transport{
		Host: "service.invalid", Scope: "api://orders/.default", Credential: cred,
		Base: roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("sent") }),
	}}
	body := &closing{Reader: strings.NewReader("body")}
	_, err = client.Post("https://service.invalid", "text/plain", body)
	var unavailable *azhost.CredentialUnavailableError
	require.ErrorAs(t, err, &unavailable)
	require.True(t, body.closed)
}

func TestChallenge(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte(`{"a":1}`))
	good := `Bearer realm="", error="insufficient_claims", claims="` + encoded + `"`
	for _, test := range []struct {
		name   string
		header []string
		want   string
	}{
		{"none", nil, ""},
		{"claims", []string{good}, `{"a":1}`},
		{"claims first", []string{`Bearer claims="` + encoded + `", error="insufficient_claims"`}, `{"a":1}`},
		{"scheme in lower case", []string{strings.ToLower("Bearer") + good[6:]}, `{"a":1}`},
		{"after another", []string{`Basic realm="x"`, good}, `{"a":1}`},
		{"another scheme", []string{"Basic" + good[6:]}, ""},
		{"another error", []string{`Bearer error="invalid_token", claims="` + encoded + `"`}, ""},
		{"no claims", []string{`Bearer error="insufficient_claims"`}, ""},
		{"not base64", []string{`Bearer error="insufficient_claims", claims="{}"`}, ""},
		{"cut off", []string{`Bearer error="insufficient_claims", claims="e30=`}, ""},
		{"scheme alone", []string{"Bearer"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, challenge(http.Header{"Www-Authenticate": test.header}))
		})
	}
}

// credential uses a fake VM in memory.
func credential(t *testing.T) azcore.TokenCredential {
	cred, err := azhost.NewManagedIdentityCredential(azhosttest.NewVM(t).InMemory())
	require.NoError(t, err)
	return cred
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// closing is a body that records whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }
