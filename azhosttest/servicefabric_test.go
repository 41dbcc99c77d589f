// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"crypto/fips140"
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// pinless returns a client that accepts any certificate.
func pinless() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
}

// pinned returns a client that accepts only the certificate with that thumbprint.
func pinned(thumbprint string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			var sum [sha1.Size]byte
			fips140.WithoutEnforcement(func() { sum = sha1.Sum(state.PeerCertificates[0].Raw) })
			if !strings.EqualFold(hex.EncodeToString(sum[:]), thumbprint) {
				return errors.New("not the pinned certificate")
			}
			return nil
		},
	}}}
}

func askFabric(t *testing.T, client *http.Client, f *azhosttest.ServiceFabric, query, secret string) (int, map[string]any, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.Endpoint()+"?"+query, nil)
	require.NoError(t, err)
	if secret != "" {
		req.Header.Set("Secret", secret)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var fields map[string]any
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&fields))
	return resp.StatusCode, fields, nil
}

func TestServiceFabricResponses(t *testing.T) {
	t.Parallel()
	a, b, system := azhosttest.UserAssigned("a"), azhosttest.UserAssigned("b"), azhosttest.SystemAssigned()
	const good = "api-version=2019-07-01-preview&resource=https://r"
	for _, test := range []struct {
		name       string
		identities []azhosttest.Identity
		query      string
		secret     string // "" for none, "own" for the valid one
		status     int
		want       string // the error's code, or the object ID
	}{
		{"system-assigned", []azhosttest.Identity{a, system}, good, "own", 200, system.ObjectID},
		{"user-assigned", []azhosttest.Identity{b, a}, good, "own", 200, b.ObjectID},
		{"no identity", nil, good, "own", 404, "ManagedIdentityNotFound"},
		{"no secret", []azhosttest.Identity{system}, good, "", 400, "SecretHeaderNotFound"},
		{"wrong secret", []azhosttest.Identity{system}, good, "x", 404, "ManagedIdentityNotFound"},
		{"no resource", []azhosttest.Identity{system}, "api-version=2019-07-01-preview", "own", 400, "ArgumentNullOrEmpty"},
		{"no api-version", []azhosttest.Identity{system}, "resource=https://r", "own", 400, "InvalidApiVersion"},
		{"another api-version", []azhosttest.Identity{system}, "api-version=2019-08-01&resource=https://r", "own", 400, "InvalidApiVersion"},
		{"a selector", []azhosttest.Identity{a}, good + "&client_id=" + a.ClientID, "own", 400, "InvalidArgument"},
		{"unknown resource", []azhosttest.Identity{system}, good + "/", "own", 500, "InternalServerError"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := azhosttest.NewServiceFabric(t)
			f.SetIdentities(test.identities...)
			f.AllowResources("https://r")
			secret := test.secret
			if secret == "own" {
				secret = f.Environment()["IDENTITY_HEADER"]
			}
			status, fields, err := askFabric(t, pinned(f.Thumbprint()), f, test.query, secret)
			require.NoError(t, err)
			require.Equal(t, test.status, status)
			if secret != "" {
				require.Equal(t, "[removed]", f.Requests()[0].Header.Get("Secret"))
			}
			if status != 200 {
				e := fields["error"].(map[string]any)
				require.Equal(t, test.want, e["code"])
				require.NotEmpty(t, e["message"])
				require.NotEmpty(t, e["correlationId"])
				return
			}
			claims, err := f.Verify(text(fields["access_token"]))
			require.NoError(t, err)
			require.Equal(t, test.want, claims["oid"])
			_, err = strconv.ParseInt(text(fields["expires_on"]), 10, 64)
			require.NoError(t, err)
			require.NotContains(t, fields, "expires_in")
			require.NotContains(t, fields, "client_id")
		})
	}
}

func TestServiceFabricCertificate(t *testing.T) {
	f := azhosttest.NewServiceFabric(t)
	f.Setenv(t)
	require.Regexp(t, `^[0-9A-F]{40}$`, f.Thumbprint())
	require.Equal(t, f.Thumbprint(), os.Getenv("IDENTITY_SERVER_THUMBPRINT"))
	require.Equal(t, f.Endpoint(), os.Getenv("IDENTITY_ENDPOINT"))
	require.True(t, strings.HasPrefix(f.Endpoint(), "https://localhost:"))
	require.NotEqual(t, f.Thumbprint(), azhosttest.NewServiceFabric(t).Thumbprint())
	const query = "api-version=2019-07-01-preview&resource=https://r"
	secret := os.Getenv("IDENTITY_HEADER")

	_, _, err := askFabric(t, http.DefaultClient, f, query, secret)
	require.ErrorContains(t, err, "certificate", "it is self-signed")
	f.UseWrongCertificate(true)
	_, _, err = askFabric(t, pinned(f.Thumbprint()), f, query, secret)
	require.ErrorContains(t, err, "not the pinned certificate")
	f.RequireRequests(t, 0)
	status, _, err := askFabric(t, pinless(), f, query, secret)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	f.UseWrongCertificate(false)
	status, _, err = askFabric(t, pinned(f.Thumbprint()), f, query, secret)
	require.NoError(t, err)
	require.Equal(t, 200, status)
}

func TestServiceFabricInMemory(t *testing.T) {
	t.Parallel()
	f := &failing{TB: t}
	require.Equal(t, azhost.SourceServiceFabric, azhosttest.NewServiceFabric(f).InMemory().Source)
	require.Contains(t, f.message.Load(), "no in-memory transport")

	listening, err := azhosttest.ListenServiceFabric("127.0.0.1:0")
	require.NoError(t, err)
	defer listening.Close()
	require.Equal(t, listening.Endpoint(), listening.InMemory().Endpoint)
}

func TestServiceFabricFaults(t *testing.T) {
	t.Parallel()
	f := azhosttest.NewServiceFabric(t)
	f.Fail(azhosttest.Fault{Drop: true}, azhosttest.Fault{Cut: true}, azhosttest.Fault{Status: 429, Body: "{}"})
	client := pinned(f.Thumbprint())
	for _, want := range []string{"EOF", "unexpected EOF"} {
		resp, err := client.Get(f.Endpoint())
		if err == nil {
			err = json.NewDecoder(resp.Body).Decode(new(any))
			require.NoError(t, resp.Body.Close())
		}
		require.ErrorContains(t, err, want)
	}
	status, _, err := askFabric(t, client, f, "", "")
	require.NoError(t, err)
	require.Equal(t, 429, status)
	f.Stop()
	_, err = client.Get(f.Endpoint())
	require.ErrorContains(t, err, "refused")
	require.NoError(t, f.Start())
	_, _, err = askFabric(t, client, f, "", "")
	require.NoError(t, err)
}

// A response to a throttled request has the format of the host's other errors.
func TestThrottledResponses(t *testing.T) {
	t.Parallel()
	app, ml := azhosttest.NewAppService(t), azhosttest.NewAzureML(t)
	app.Throttle(1, 0)
	ml.Throttle(1, 0)
	get(t, app.Endpoint(), "")
	status, header, fields := get(t, app.Endpoint(), "")
	require.Equal(t, 429, status)
	require.Equal(t, "1", header.Get("Retry-After"))
	require.EqualValues(t, 429, fields["statusCode"])
	get(t, ml.Endpoint(), "")
	status, header, fields = get(t, ml.Endpoint(), "")
	require.Equal(t, 429, status)
	require.Equal(t, "1", header.Get("Retry-After"))
	require.Contains(t, fields["error"], "code")
}
