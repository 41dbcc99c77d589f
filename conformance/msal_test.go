// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/managedidentity"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// msal is MSAL's client as a credential.
type msal struct{ managedidentity.Client }

func newMSAL(o azcore.ClientOptions, kind, id string) (azcore.TokenCredential, error) {
	options := []managedidentity.ClientOption{managedidentity.WithHTTPClient(idle{o.Transport})}
	if o.Retry.MaxRetries < 0 {
		options = append(options, managedidentity.WithRetryPolicyDisabled())
	}
	c, err := managedidentity.New(map[string]managedidentity.ID{
		"client": managedidentity.UserAssignedClientID(id), "object": managedidentity.UserAssignedObjectID(id),
		"resource": managedidentity.UserAssignedResourceID(id), "": managedidentity.SystemAssigned(),
	}[kind], options...)
	return msal{c}, err
}

func (m msal) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	r, err := m.AcquireToken(ctx, o.Scopes[0], managedidentity.WithClaims(o.Claims))
	return azcore.AccessToken{Token: r.AccessToken, ExpiresOn: r.ExpiresOn, RefreshOn: r.Metadata.RefreshOn}, err
}

type idle struct{ policy.Transporter }

func (idle) CloseIdleConnections() {}

// TestHostMatchesMSAL compares the detected host for every combination of the variables.
func TestHostMatchesMSAL(t *testing.T) {
	names := []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET"}
	for mask := range 1 << len(names) {
		variables := map[string]string{}
		for bit, name := range names {
			if mask&(1<<bit) != 0 {
				variables[name] = "http://127.0.0.1:40342/token"
			}
		}
		at(t, variables)
		requireSameHost(t, variables)
	}
}

func requireSameHost(t *testing.T, context any) {
	t.Helper()
	want, err := managedidentity.GetSource()
	require.NoError(t, err)
	if want == managedidentity.DefaultToIMDS {
		want = "IMDS"
	}
	cred, err := azhost.NewManagedIdentityCredential(nil)
	require.NoError(t, err)
	require.Equal(t, string(want), string(cred.Source()), context)
}

func TestMSALBehaviors(t *testing.T) {
	const schedule = departures + "azhost retries up to five times over about 100 s"
	failing := always(500, `{"error":"sample error","error_description":"sample error desc"}`)
	for _, b := range []behavior{
		{place: "VM", name: "one failure", answers: append(failing, answer{202, good, ""}), peer: "token after 2"},
		{place: "VM", name: "two failures", answers: append(append(failing, failing...), answer{200, good, ""}), peer: "token after 3"},
		{place: "VM", name: "three failures", answers: append(append(failing, failing[0], failing[0]), answer{200, good, ""}), peer: "failed after 3", azhost: "token after 4", stated: schedule},
		{place: "VM", name: "failures", answers: failing, peer: "failed after 3", azhost: "failed after 6", stated: schedule},
		{place: "VM", name: "404, then a token", answers: []answer{{404, "", ""}, {200, good, ""}}, peer: "token after 2"},
		{place: "App Service", name: "one failure", answers: append(failing, answer{200, good, ""}), peer: "token after 2"},
		{place: "Cloud Shell", name: "failures", answers: failing, peer: "failed after 3", azhost: "failed after 6", stated: departures + "The schedule is the same as on an Azure VM, but 404 is final"},
		{place: "VM", name: "a failure without retries", retries: -1, answers: failing, peer: "failed after 1", text: "sample error"},
		{place: "VM", name: "404 without retries", retries: -1, answers: always(404, ""), peer: "failed after 1", text: "404"},
		{place: "VM", name: "501 without retries", retries: -1, answers: always(501, ""), peer: "failed after 1", text: "501"},
		{place: "VM", name: "503 without retries", retries: -1, answers: always(503, ""), peer: "failed after 1", text: "503"},
		{place: "VM", name: "400, not assigned", kind: "client", answers: always(400, `{"error":"invalid_request","error_description":"Identity not found"}`), peer: "failed after 1", text: "invalid_request"},
		{place: "VM", name: "JSON that ends early", answers: always(200, `{"access_token": "T","expires_in": 3600,"token_type": "Bearer"`), peer: "failed after 1"},
	} {
		t.Run(b.place+"/"+b.name, func(t *testing.T) { b.check(t, newMSAL) })
	}
}

// A cached token belongs to one resource, with or without "/.default", and to one identity. Claims
// bypass the cache.
func TestPeersCache(t *testing.T) {
	both(t, "VM", always(200, good), func(t *testing.T, library string, host *script, make maker) {
		resource := newResource()
		token := func(host *script, kind, scope, claims string) {
			_, err := on(t, host, make, kind).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}, Claims: claims})
			require.NoError(t, err)
		}
		for range 2 {
			for _, kind := range []string{"", "client", "object", "resource"} {
				token(host, kind, resource, "")
				token(host, kind, resource+"/.default", "")
			}
		}
		require.Len(t, host.seen, 4)
		token(host, "", resource, `{"access_token":{}}`)
		require.Len(t, host.seen, 5)

		elsewhere := &script{answers: host.answers}
		token(elsewhere, "", resource, "")
		require.Len(t, elsewhere.seen, map[string]int{"azidentity": 0, "azhost": 1}[library])
		requireStated(t, departures+"Credentials with different Transports share nothing")
	})
}

func TestPeersRefreshOn(t *testing.T) {
	both(t, "Cloud Shell", always(200, `{"access_token":"T","expires_in":86400,"refresh_in":2520}`), func(t *testing.T, library string, host *script, make maker) {
		token, err := get(on(t, host, make, ""))
		require.NoError(t, err)
		requireRefreshOn(t, 42*time.Minute, library, token)
	})
	both(t, "Cloud Shell", always(200, `{"access_token":"T","expires_in":86400}`), func(t *testing.T, library string, host *script, make maker) {
		cred, scopes := on(t, host, make, ""), policy.TokenRequestOptions{Scopes: []string{newResource()}}
		token, err := cred.GetToken(t.Context(), scopes)
		require.NoError(t, err)
		requireRefreshOn(t, 12*time.Hour, library, token)
		token, err = cred.GetToken(t.Context(), scopes)
		require.NoError(t, err)
		require.Equal(t, library == "azidentity", token.RefreshOn.IsZero())
		requireStated(t, departures+"It is also set for a token from the cache")
	})
}

func requireRefreshOn(t *testing.T, in time.Duration, library string, token azcore.AccessToken) {
	t.Helper()
	earlier := in - time.Until(token.RefreshOn)
	require.GreaterOrEqual(t, earlier, time.Duration(0))
	require.LessOrEqual(t, earlier, map[string]time.Duration{"azhost": in / 10}[library])
	requireStated(t, departures+"It is up to a tenth earlier")
}

// Errors contain the response's error code, and RawResponse.
func TestPeersResponse(t *testing.T) {
	both(t, "VM", always(503, `{"error":"busy","error_description":"later"}`), func(t *testing.T, _ string, host *script, make maker) {
		cred, err := make(azcore.ClientOptions{Transport: host, Retry: policy.RetryOptions{MaxRetries: -1}}, "", "")
		require.NoError(t, err)
		_, err = get(cred)
		require.ErrorContains(t, err, "busy")
		require.Equal(t, 503, rawResponse(err).StatusCode)
		body, err := io.ReadAll(rawResponse(err).Body)
		require.NoError(t, err)
		require.Contains(t, string(body), "later")
	})
}

// A slow body is read to its end, even after a failed attempt.
func TestPeersSlowBody(t *testing.T) {
	for _, answers := range [][]answer{{{500, "", ""}, {200, good, ""}}, {{200, good, ""}}} {
		both(t, "App Service", answers, func(t *testing.T, _ string, host *script, make maker) {
			host.slow = 750 * time.Millisecond
			require.Equal(t, "token", outcome(get(on(t, host, make, ""))))
		})
	}
}

// After refresh_in, there is one more request, and no caller fails. In azidentity, one caller waits for it.
func TestPeersRefresh(t *testing.T) {
	old, renewed := `{"access_token":"old","expires_in":86400,"refresh_in":43200}`, `{"access_token":"new","expires_in":86400,"refresh_in":86000}`
	both(t, "Cloud Shell", []answer{{200, old, ""}, {200, renewed, ""}}, func(t *testing.T, library string, host *script, make maker) {
		cred, scopes := on(t, host, make, ""), policy.TokenRequestOptions{Scopes: []string{newResource()}}
		get := func() string {
			token, err := cred.GetToken(t.Context(), scopes)
			require.NoError(t, err)
			return token.Token
		}
		require.Equal(t, "old", get())
		time.Sleep(43400 * time.Second)
		host.slow = time.Second
		var callers sync.WaitGroup
		var waited atomic.Int32
		for range 1000 {
			callers.Go(func() {
				if get() == "new" {
					waited.Add(1)
				}
			})
		}
		callers.Wait()
		require.Equal(t, map[string]int32{"azidentity": 1, "azhost": 0}[library], waited.Load())
		requireStated(t, departures+"Callers get the cached token and don't wait")
		time.Sleep(2 * time.Second)
		require.Equal(t, "new", get())
		require.Len(t, host.seen, 2)
	})
}
