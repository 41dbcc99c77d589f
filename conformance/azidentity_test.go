// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azlog "github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// departures is the page that states the differences.
const departures = "docs/comparison.md: "

func always(status int, body string) []answer { return []answer{{status: status, body: body}} }

// behaviors are what azidentity's tests of its managed-identity credential assert, and similar cases. If
// azhost's outcome isn't given, it is the same after the same requests.
var behaviors = []behavior{
	{place: "VM", name: "400 without JSON", answers: always(400, "something went wrong"), peer: "unavailable after 1", text: "something went wrong"},
	{place: "VM", name: "400, no identity", answers: always(400, `{"error":"invalid_request","error_description":"Identity not found"}`), peer: "unavailable after 1", text: "Identity not found"},
	{place: "VM", name: "400, not assigned", kind: "client", answers: always(400, `{"error":"invalid_request","error_description":"Identity not found"}`), peer: "failed after 1"},
	{place: "VM", name: "403 of Docker Desktop", answers: always(403, "A socket operation was attempted to an unreachable network."), peer: "unavailable after 1"},
	{place: "VM", name: "another 403", answers: always(403, "no"), peer: "failed after 1"},
	{place: "VM", name: "401", answers: always(401, ""), peer: "failed after 1"},
	{place: "VM", name: "not JSON", answers: always(200, "not json"), peer: "failed after 1"},
	{place: "VM", name: "JSON that ends early", answers: always(200, `{"access_token":"T","expires_in":3600`), peer: "failed after 1"},
	{place: "VM", name: "202 with a token", answers: always(202, good), peer: "token after 1"},
	{place: "VM", name: "an unlisted status", retries: 1, answers: always(509, ""), peer: "failed after 1", azhost: "failed after 2", stated: departures + "408 and all 5xx are retried, too"},
	{place: "VM", name: "a retry that succeeds", answers: []answer{{500, "", ""}, {404, "", ""}, {200, good, ""}}, peer: "token after 3"},
	{place: "VM", name: "Retry-After", retries: 1, answers: []answer{{429, "", "Retry-After: 5"}, {200, good, ""}}, peer: "token after 2"},
	{place: "VM", name: "redirect", answers: []answer{{302, "", "Location: http://127.0.0.1/"}}, peer: "failed after 1"},
	{place: "VM", name: "the default schedule", answers: always(500, ""), peer: "failed after 7", azhost: "failed after 6", stated: departures + "azhost retries up to five times over about 100 s"},
	{place: "VM", name: "408", answers: always(408, ""), peer: "failed after 1", azhost: "failed after 6", stated: departures + "408 and all 5xx are retried, too"},
	{place: "VM", name: "no response", answers: always(0, ""), peer: "failed after 7", azhost: "unavailable after 6", stated: departures + "A chain continues, after all retries"},
	{place: "VM", name: "connection refused", answers: always(noListener, ""), peer: "failed after 7", azhost: "unavailable after 6", stated: departures + "A chain continues, after all retries"},
	{place: "VM", name: "an ID with white space", kind: "client", id: "a b", answers: always(200, good), peer: "token after 1", azhost: "constructor", stated: departures + "An ID with white space"},
	{place: "VM", name: "an ID of another kind", kind: "object", id: "/subscriptions/s", answers: always(200, good), peer: "token after 1", azhost: "constructor", stated: departures + "or of the wrong type"},
	{place: "VM", name: "an expired token", answers: always(200, `{"access_token":"T","expires_on":946684700}`), peer: "expired after 1", azhost: "failed after 1", stated: departures + "A response whose token has expired"},
	{place: "anywhere", name: "connection refused", answers: always(noListener, ""), peer: "failed after 7", azhost: "unavailable after 1", stated: departures + "if the connection is refused"},
	{place: "anywhere", name: "no response", answers: always(0, ""), peer: "failed after 7", azhost: "unavailable after 1", stated: departures + "Outside Azure | GetToken returns `CredentialUnavailableError` at once"},
	{place: "anywhere", name: "foreign status", answers: always(503, ""), peer: "failed after 7", azhost: "unavailable after 1", stated: departures + "something other than IMDS responds"},
	{place: "anywhere", name: "not JSON", answers: always(200, "<html>"), peer: "failed after 1", azhost: "unavailable after 1", stated: departures + "something other than IMDS responds"},
	{place: "anywhere", name: "400 without JSON", answers: always(400, "something went wrong"), peer: "unavailable after 1"},
	{place: "anywhere", name: "another 400, by client ID", kind: "client", answers: always(400, "no"), peer: "failed after 1", azhost: "unavailable after 1", stated: departures + "something other than IMDS responds"},

	{place: "App Service", name: "401", answers: always(401, ""), peer: "failed after 1"},
	{place: "App Service", name: "404", answers: always(404, ""), peer: "failed after 1"},
	{place: "App Service", name: "400", answers: always(400, ""), peer: "failed after 1"},
	{place: "App Service", name: "expires_on as text", answers: always(200, `{"access_token":"T","expires_on":"946688400","resource":"r","token_type":"Bearer","client_id":"some-guid"}`), peer: "token after 1"},
	{place: "App Service", name: "the default schedule", answers: always(500, ""), peer: "failed after 4", azhost: "failed after 6", stated: departures + "The schedule is the same as on an Azure VM, but 404 is final"},
	{place: "App Service", name: "410", answers: always(410, ""), peer: "failed after 1", azhost: "failed after 6", stated: departures + "The schedule is the same as on an Azure VM, but 404 is final"},
	{place: "App Service", name: "no response", answers: always(0, ""), peer: "failed after 4", azhost: "failed after 6", stated: departures + "The schedule is the same as on an Azure VM, but 404 is final"},

	{place: "Cloud Shell", name: "expires_on as a number", answers: always(200, `{"access_token":"T","expires_on":946688400,"resource":"r","token_type":"Bearer"}`), peer: "token after 1"},
	{place: "Cloud Shell", name: "access_token as a number", answers: always(200, `{"access_token": 0, "expires_in": 3600}`), peer: "failed after 1"},
	{place: "Cloud Shell", name: "invalid expires_on", answers: always(200, `{"access_token":"T","expires_in":"","expires_on":"15609740s28"}`), peer: "failed after 1"},
	{place: "Cloud Shell", name: "expires_on in a hundred years", answers: always(200, `{"access_token":"T","expires_on":4102444800}`), peer: "token after 1", azhost: "failed after 1", stated: departures + "more than ten years away"},
}

func TestAzidentityBehaviors(t *testing.T) {
	all := behaviors
	for _, status := range []int{404, 410, 429, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511} {
		all = append(all, behavior{place: "VM", name: fmt.Sprint(status), retries: 1, answers: always(status, ""), peer: "failed after 2"},
			behavior{place: "VM", name: fmt.Sprint(status, " without retries"), retries: -1, answers: always(status, ""), peer: "failed after 1"})
	}
	for _, kind := range []string{"", "client", "object", "resource"} {
		for place := range places {
			b := behavior{place: place, kind: kind, name: "token", answers: always(200, good), peer: "token after 1"}
			switch {
			case place == "Azure Arc": // TestArc, where there are key files
				continue
			case place == "Service Fabric" && kind == "": // TestPeersServiceFabric, over a socket
				continue
			case place == "Service Fabric", place == "Cloud Shell" && kind != "", place == "Azure ML" && kind != "" && kind != "client":
				b.peer = "constructor"
			}
			if all = append(all, b); kind != "" {
				all = append(all, behavior{place: place, kind: kind, name: "empty ID", answers: always(200, good), peer: "constructor"})
			}
		}
	}
	for _, b := range all {
		t.Run(strings.TrimSuffix(b.place+"/"+b.name+"/"+b.kind, "/"), func(t *testing.T) { b.check(t, newAzidentity) })
	}
}

// both runs f with azidentity and with azhost. Each has its own host.
func both(t *testing.T, place string, answers []answer, f func(t *testing.T, library string, host *script, make maker)) {
	at(t, places[place])
	for library, make := range map[string]maker{"azidentity": newAzidentity, "azhost": onVM} {
		if place != "VM" && library == "azhost" {
			make = newAzhost
		}
		t.Run(library, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, library, &script{answers: answers}, make) })
		})
	}
}

func on(t *testing.T, host policy.Transporter, make maker, kind string) azcore.TokenCredential {
	cred, err := make(azcore.ClientOptions{Transport: host}, kind, "the-"+kind+"-id")
	require.NoError(t, err)
	return cred
}

func TestPeersScopes(t *testing.T) {
	both(t, "VM", always(200, good), func(t *testing.T, library string, host *script, make maker) {
		cred := on(t, host, make, "")
		for _, scopes := range [][]string{nil, {}, {"a", "b"}} {
			_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: scopes})
			require.ErrorContains(t, err, "exactly one scope")
		}
		require.Empty(t, host.seen)
		scopes := []string{newResource() + "/.default"}
		before := scopes[0]
		_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: scopes})
		require.NoError(t, err)
		require.Equal(t, []string{before}, scopes)
		for _, scope := range []string{newResource() + " b", "/.default", newResource() + strings.Repeat("x", 2048)} {
			_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
			require.Equal(t, library == "azhost", err != nil, "%q: %v", scope, err)
		}
		require.Equal(t, library == "azhost", len(host.seen) == 1)
		requireStated(t, departures+"without a resource, or of more than 2,048 bytes")
	})
}

// Errors contain the response's status and text once. So do the errors of a chain.
func TestErrorQuotesResponseOnce(t *testing.T) {
	both(t, "VM", always(418, "no tokens here"), func(t *testing.T, library string, host *script, make maker) {
		cred := on(t, host, make, "")
		_, err := get(cred)
		chain, failed := azidentity.NewChainedTokenCredential([]azcore.TokenCredential{cred}, nil)
		require.NoError(t, failed)
		_, chained := get(chain)
		for _, err := range []error{err, chained} {
			require.Equal(t, 1, strings.Count(err.Error(), "418"))
			require.Equal(t, 1, strings.Count(err.Error(), "no tokens here"))
		}
		require.True(t, strings.HasPrefix(err.Error(), map[string]string{"azidentity": "ManagedIdentityCredential", "azhost": "azhost: "}[library]))
		requireStated(t, departures+"The text begins with `azhost: `")
	})
}

// After a 400 for the system-assigned identity, a chain continues each time. azhost sends the next request
// after about a second.
func TestRepeatedFailures(t *testing.T) {
	both(t, "VM", always(400, "something went wrong"), func(t *testing.T, library string, host *script, make maker) {
		cred, scopes := on(t, host, make, ""), policy.TokenRequestOptions{Scopes: []string{newResource()}}
		for range 3 {
			require.Equal(t, "unavailable", outcome(cred.GetToken(t.Context(), scopes)))
		}
		require.Len(t, host.seen, map[string]int{"azidentity": 3, "azhost": 1}[library])
		requireStated(t, departures+"returns it to new callers for about 1 second")
		time.Sleep(2 * time.Second)
		require.Equal(t, "unavailable", outcome(cred.GetToken(t.Context(), scopes)))
		require.Len(t, host.seen, map[string]int{"azidentity": 4, "azhost": 2}[library])
	})
}

// Requests have the same headers, except those that comparison.md names.
func TestPeersHeaders(t *testing.T) {
	for place, ours := range map[string]map[string]bool{
		"VM": {"X-Client-Sku": false, "X-Client-Ver": false}, "App Service": {"Metadata": true, "X-Ms-Client-Request-Id": true}, "Azure ML": {"X-Ms-Client-Request-Id": true}, "Cloud Shell": {"X-Ms-Client-Request-Id": true},
	} {
		sent := map[string]http.Header{}
		agent := regexp.MustCompile(`^my-app azsdk-go-(azidentity/v1\.15\.0|azhost/v[^ ]+) \(go[^;]+; [^)]+\)$`)
		both(t, place, always(200, good), func(t *testing.T, library string, host *script, make maker) {
			cred, err := make(azcore.ClientOptions{Transport: host, Telemetry: policy.TelemetryOptions{ApplicationID: "my-app"}}, "", "")
			require.NoError(t, err)
			_, err = get(cred)
			require.NoError(t, err)
			sent[library] = host.headers[0]
			require.Regexp(t, agent, host.headers[0].Get("User-Agent"))
		})
		differ := map[string]bool{}
		for library, headers := range sent {
			for name := range headers {
				if sent["azhost"][name] == nil || sent["azidentity"][name] == nil {
					differ[name] = library == "azhost"
					requireStated(t, departures+"`"+strings.ToLower(name)+"`")
				}
			}
		}
		require.Equal(t, ours, differ, place)
	}
}

// Both libraries log the host and the identity at construction: azidentity to azcore's listener, azhost to
// its Logger.
func TestPeersLogs(t *testing.T) {
	at(t, nil)
	var lines []string
	azlog.SetListener(func(e azlog.Event, line string) {
		if e == azidentity.EventAuthentication {
			lines = append(lines, line)
		}
	})
	defer azlog.SetListener(nil)
	for _, kind := range []string{"", "client", "object", "resource"} {
		lines = nil
		_, err := newAzidentity(azcore.ClientOptions{}, kind, "the-id")
		require.NoError(t, err)
		var ours strings.Builder
		o := azhostOptions(azcore.ClientOptions{}, kind, "the-id")
		o.Source, o.Logger = azhost.SourceIMDS, slog.New(slog.NewTextHandler(&ours, nil))
		_, err = azhost.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		require.Len(t, lines, 1)
		for _, line := range []string{lines[0], ours.String()} {
			require.Contains(t, line, "IMDS")
			require.Equal(t, kind != "", strings.Contains(line, kind+" ID") && strings.Contains(line, "the-id"))
		}
	}
	requireStated(t, departures+"Lines go to `Logger`")
}
