// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"net/http"
	"net/url"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestAppServiceResponses(t *testing.T) {
	t.Parallel()
	a, b := azhosttest.UserAssigned("a"), azhosttest.UserAssigned("b")
	system := azhosttest.SystemAssigned()
	both := []azhosttest.Identity{a, system, b}
	const good = "api-version=2019-08-01&resource=https://r"
	for _, test := range []struct {
		name       string
		identities []azhosttest.Identity
		query      string
		header     string // "" for the valid one
		status     int
		want       string // part of the message, or the object ID
	}{
		{"system-assigned", both, good, "", 200, system.ObjectID},
		{"by client ID", both, good + "&client_id=" + b.ClientID, "", 200, b.ObjectID},
		{"by object ID", both, good + "&object_id=" + b.ObjectID, "", 200, b.ObjectID},
		{"by principal ID", both, good + "&principal_id=" + b.ObjectID, "", 200, b.ObjectID},
		{"by resource ID", both, good + "&mi_res_id=" + url.QueryEscape(b.ResourceID), "", 200, b.ObjectID},
		{"IMDS's resource ID is ignored", both, good + "&msi_res_id=" + url.QueryEscape(b.ResourceID), "", 200, system.ObjectID},
		{"a later api-version", both, "api-version=2025-03-30&resource=https://r", "", 200, system.ObjectID},
		{"no fallback to the only user-assigned", []azhosttest.Identity{a}, good, "", 400, "No Managed Identity"},
		{"no identity", nil, good, "", 400, "No Managed Identity"},
		{"unknown identity", both, good + "&client_id=x", "", 400, "No User Assigned or Delegated Managed Identity"},
		{"blank selector", both, good + "&client_id=", "", 400, "No User Assigned or Delegated Managed Identity"},
		{"two selectors", both, good + "&client_id=x&mi_res_id=y", "", 400, "More than one identity"},
		{"no api-version", both, "resource=https://r", "", 400, "api-version"},
		{"the old api-version", both, "api-version=2017-09-01&resource=https://r", "", 400, "api-version"},
		{"no resource", both, "api-version=2019-08-01", "", 400, "resource"},
		{"unknown resource", both, "api-version=2019-08-01&resource=https://r/", "", 500, "unexpected"},
		{"wrong secret", both, good, "X-IDENTITY-HEADER: x", 401, "X-IDENTITY-HEADER"},
		{"the old header", both, good, "Secret: x", 401, "X-IDENTITY-HEADER"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			app := azhosttest.NewAppService(t)
			app.SetIdentities(test.identities...)
			app.AllowResources("https://r")
			secret := app.Environment()["IDENTITY_HEADER"]
			header := test.header
			if header == "" {
				header = "X-IDENTITY-HEADER: " + secret
			}
			status, head, fields := get(t, app.Endpoint(), test.query, header)
			require.Equal(t, test.status, status)
			require.Equal(t, "application/json; charset=utf-8", head.Get("Content-Type"))
			logged := app.Requests()[0]
			require.Equal(t, test.status, logged.Status)
			require.NotContains(t, logged.Header, secret)
			if status != 200 {
				require.EqualValues(t, status, fields["statusCode"])
				require.Contains(t, fields["message"], test.want)
				require.Len(t, fields, 2)
				return
			}
			claims, err := app.Verify(text(fields["access_token"]))
			require.NoError(t, err)
			require.Equal(t, test.want, claims["oid"])
			require.Equal(t, "https://r", claims["aud"])
			expiry, err := strconv.ParseInt(text(fields["expires_on"]), 10, 64)
			require.NoError(t, err)
			require.InDelta(t, time.Now().Add(24*time.Hour).Unix(), expiry, 60)
			require.Equal(t, claims["appid"], fields["client_id"])
			require.Equal(t, "https://r", fields["resource"])
			require.Equal(t, "Bearer", fields["token_type"])
			require.Len(t, fields, 5, "no expires_in")
		})
	}
}

func TestAppServiceRotateHeader(t *testing.T) {
	app := azhosttest.NewAppService(t)
	t.Setenv("IDENTITY_SERVER_THUMBPRINT", "of another host")
	app.Setenv(t)
	require.Empty(t, os.Getenv("IDENTITY_SERVER_THUMBPRINT"))
	require.Equal(t, app.Endpoint(), os.Getenv("IDENTITY_ENDPOINT"))
	old := os.Getenv("IDENTITY_HEADER")
	ask := func(secret string) int {
		status, _, _ := get(t, app.Endpoint(), "api-version=2019-08-01&resource=https://r", "X-IDENTITY-HEADER: "+secret)
		return status
	}
	require.Equal(t, 200, ask(old))
	app.RotateHeader()
	require.Equal(t, 401, ask(old))
	app.Setenv(t)
	require.NotEqual(t, old, os.Getenv("IDENTITY_HEADER"))
	require.Equal(t, 200, ask(os.Getenv("IDENTITY_HEADER")))
	require.NotEqual(t, old, azhosttest.NewAppService(t).Environment()["IDENTITY_HEADER"], "every host has a different secret")
}

// Setenv before a bubble starts nothing inside it that would stop its clock.
func TestSetenvBeforeBubble(t *testing.T) {
	app := azhosttest.NewAppService(t)
	app.Setenv(t)
	synctest.Test(t, func(t *testing.T) {
		app.SetLatency(time.Hour)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			app.InMemory().Endpoint+"?api-version=2019-08-01&resource=https://r", nil)
		require.NoError(t, err)
		req.Header.Set("X-IDENTITY-HEADER", os.Getenv("IDENTITY_HEADER"))
		start := time.Now()
		resp, err := app.Do(req)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, time.Hour, time.Since(start))
		_, err = app.Verify(accessToken(resp))
		require.NoError(t, err)
	})
}

func TestOptionsOtherHosts(t *testing.T) {
	t.Parallel()
	app, shell, ml, fabric := azhosttest.NewAppService(t), azhosttest.NewCloudShell(t), azhosttest.NewAzureML(t), azhosttest.NewServiceFabric(t)
	for _, test := range []struct {
		name                    string
		options                 *azhost.ManagedIdentityCredentialOptions
		source                  azhost.Source
		endpoint                string
		inMemory                *azhost.ManagedIdentityCredentialOptions
		inMemoryEndpoint, local string
	}{
		{"AppService", app.Options(), azhost.SourceAppService, app.Endpoint(), app.InMemory(), "http://127.0.0.1:41741/msi/token", `^http://127\.0\.0\.1:\d+/[a-z2-7]{10}/msi/token$`},
		{"CloudShell", shell.Options(), azhost.SourceCloudShell, shell.Endpoint(), shell.InMemory(), "http://localhost:50342/oauth2/token", `^http://localhost:\d+/[a-z2-7]{10}/oauth2/token$`},
		{"AzureML", ml.Options(), azhost.SourceAzureML, ml.Endpoint(), ml.InMemory(), "http://127.0.0.1:46808/MSI/auth", `^http://127\.0\.0\.1:\d+/[a-z2-7]{10}/MSI/auth$`},
		{"ServiceFabric", fabric.Options(), azhost.SourceServiceFabric, fabric.Endpoint(), nil, "", `^https://localhost:\d+/[a-z2-7]{10}/metadata/identity/oauth2/token$`},
	} {
		require.Equal(t, test.source, test.options.Source, test.name)
		require.Equal(t, test.endpoint, test.options.Endpoint, test.name)
		require.Regexp(t, test.local, test.endpoint, test.name)
		require.NotNil(t, test.options.Transport, test.name)
		if test.inMemory != nil {
			require.Equal(t, test.source, test.inMemory.Source, test.name)
			require.Equal(t, test.inMemoryEndpoint, test.inMemory.Endpoint, test.name)
			require.NotNil(t, test.inMemory.Transport, test.name)
		}
	}
}

func TestListenOtherHosts(t *testing.T) {
	t.Parallel()
	type host interface {
		Endpoint() string
		Close()
	}
	for name, listen := range map[string]func(string) (host, error){
		"AppService":    func(a string) (host, error) { return azhosttest.ListenAppService(a) },
		"CloudShell":    func(a string) (host, error) { return azhosttest.ListenCloudShell(a) },
		"AzureML":       func(a string) (host, error) { return azhosttest.ListenAzureML(a) },
		"ServiceFabric": func(a string) (host, error) { return azhosttest.ListenServiceFabric(a) },
	} {
		h, err := listen("127.0.0.1:0")
		require.NoError(t, err, name)
		client := pinless()
		resp, err := client.Get(h.Endpoint())
		require.NoError(t, err, name)
		require.NoError(t, resp.Body.Close())
		require.GreaterOrEqual(t, resp.StatusCode, 400, name)
		h.Close()
		_, err = client.Get(h.Endpoint())
		require.ErrorContains(t, err, "refused", name)
		_, err = listen("256.0.0.1:0")
		require.Error(t, err, name)
	}
}
