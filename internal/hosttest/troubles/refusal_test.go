// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/internal/advice"
	"github.com/stretchr/testify/require"
)

// This file tests what users report about hosts that reject their requests: they want to know at once, and
// why.

// TestMetadataSecurityProtocolDenies checks the response of the Metadata Security Protocol's agent, 403
// without a body and without IMDS's header. azhost doesn't retry, and the error names the allow list.
func TestMetadataSecurityProtocolDenies(t *testing.T) {
	for _, status := range []int{403, 421} {
		inBubble(t, fmt.Sprint(status), nil, func(t *testing.T) {
			start := time.Now()
			w := always(answer(status, "", "Connection: close"))
			_, err := token(t.Context(), onVM(t, w, known))
			require.Equal(t, status, requireFailed(t, err).RawResponse.StatusCode)
			require.ErrorContains(t, err, "InVMAccessControlProfile")
			require.ErrorContains(t, err, "ProxyAgent.Connection.log")
			require.NotContains(t, err.Error(), "isn't an Azure VM")
			require.Equal(t, 1, w.Requests())
			require.Zero(t, time.Since(start))
		})
	}
	inBubble(t, "after it allowed another request", nil, func(t *testing.T) {
		cred := onVM(t, &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
			if n == 1 {
				return goodToken(req)
			}
			return denied(req)
		}})
		_, err := token(t.Context(), cred)
		require.NoError(t, err)
		_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"another"}})
		requireFailed(t, err)
		require.ErrorContains(t, err, advice.AllowList)
	})
	inBubble(t, "the fake", nil, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.Fail(azhosttest.Denied())
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		_, err = token(t.Context(), cred)
		requireFailed(t, err)
		require.ErrorContains(t, err, advice.AllowList)
		vm.RequireRequests(t, 1)
	})
	for _, status := range []int{502, 503} { // the agent allowed the request, but can't reach IMDS
		inBubble(t, fmt.Sprintf("the agent can't reach IMDS, %d", status), nil, func(t *testing.T) {
			w := always(answer(status, "", "Connection: close"))
			_, err := token(t.Context(), onVM(t, w, known))
			requireFailed(t, err)
			require.ErrorContains(t, err, advice.AgentOffline)
			require.Equal(t, 6, w.Requests())
		})
	}
	inBubble(t, "Docker Desktop's 403 has a body", nil, func(t *testing.T) {
		w := always(answer(403, "connecting to 169.254.169.254:80: connecting to 169.254.169.254:80: dial tcp 169.254.169.254:80: connectex: A socket operation was attempted to an unreachable network."))
		_, err := token(t.Context(), onVM(t, w, known))
		requireUnavailable(t, err)
		require.NotContains(t, err.Error(), advice.AllowList)
	})
}

// TestRejectionIsFinalAndQuoted checks that a rejection in plain text, as sidecars and proxies send instead
// of IMDS, is final and quoted.
func TestRejectionIsFinalAndQuoted(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"workload identity's proxy", "failed to acquire token: service account azure.workload.identity/client-id is missing", "service account azure.workload.identity/client-id is missing"},
		{"NMI", "no azure identity found for request clientID \n", "no azure identity found for request clientID"},
		{"two lines", "denied\r\nby policy", "denied by policy"},
		{"control characters", "denied\x1b[31m by\x00 policy", "denied[31m by policy"},
		{"HTML", "<html><h1>Forbidden</h1></html>", "<h1>Forbidden</h1>"},
		{"IMDS's JSON", `{"error":"access_denied","error_description":"not for you"}`, "access_denied: not for you"},
		{"JSON of another shape", `{"detail":"not for you"}`, `{"detail":"not for you"}`},
		{"a JSON string", `"not for you"`, "not for you"},
		{"a long text", "denied" + strings.Repeat(" because", 1000), "denied because because"},
	} {
		for _, status := range []int{400, 401, 403, 405, 407} {
			inBubble(t, fmt.Sprintf("%s with %d", test.name, status), nil, func(t *testing.T) {
				start := time.Now()
				w := always(answer(status, test.body, "Content-Type: text/plain"))
				_, err := token(t.Context(), onVM(t, w, known, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ClientID("me") }))
				failed := requireFailed(t, err)
				require.Equal(t, 1, w.Requests())
				require.Zero(t, time.Since(start))
				require.ErrorContains(t, err, fmt.Sprintf("%d %s: ", status, http.StatusText(status)))
				require.ErrorContains(t, err, test.want)
				require.NotContains(t, err.Error(), "isn't an Azure VM")
				require.Less(t, len(err.Error()), 1500)
				require.NotContains(t, err.Error(), "..")
				require.Equal(t, -1, strings.IndexFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }), "%q", err)
				raw, readErr := io.ReadAll(failed.RawResponse.Body)
				require.NoError(t, readErr)
				require.Equal(t, test.body, string(raw))
			})
		}
	}
}

// TestRejectionIsFinalOnEveryHost checks that azhost doesn't retry a rejection.
func TestRejectionIsFinalOnEveryHost(t *testing.T) {
	for source, env := range platforms {
		if source == azhost.SourceServiceFabric {
			continue // in TestServiceFabricRejections, over a socket
		}
		for _, status := range []int{400, 401, 403, 404, 405, 407} {
			inBubble(t, fmt.Sprint(source, " ", status), env, func(t *testing.T) {
				w := always(answer(status, "the sidecar's reason"))
				_, err := token(t.Context(), credential(t, w))
				requireFailed(t, err)
				require.ErrorContains(t, err, "the sidecar's reason")
				require.Equal(t, 1, w.Requests())
			})
		}
	}
	for _, status := range []int{400, 403, 404, 405, 410} {
		inBubble(t, fmt.Sprint("Arc ", status), nil, func(t *testing.T) {
			w := always(answer(status, "the agent's reason"))
			_, err := token(t.Context(), credential(t, w, func(o *azhost.ManagedIdentityCredentialOptions) {
				o.Source, o.ArcKeyDirectory = azhost.SourceAzureArc, t.TempDir()
			}))
			requireFailed(t, err)
			require.ErrorContains(t, err, "the agent's reason")
			require.Equal(t, 1, w.Requests())
		})
	}
}

// TestSlowRejection checks a rejection whose body takes longer than an attempt, which ends after a minute.
func TestSlowRejection(t *testing.T) {
	for _, status := range []int{400, 401, 403, 405} {
		inBubble(t, fmt.Sprint(status), nil, func(t *testing.T) {
			w := always(func(req *http.Request) (*http.Response, error) {
				resp, err := answer(status, "")(req)
				resp.Body = io.NopCloser(slowBody{req})
				return resp, err
			})
			start := time.Now()
			_, err := token(t.Context(), onVM(t, w, known))
			requireFailed(t, err)
			require.ErrorContains(t, err, fmt.Sprint(status))
			require.Equal(t, 1, w.Requests())
			require.Equal(t, time.Minute, time.Since(start))
		})
	}
}

// slowBody is a body that blocks until its request ends.
type slowBody struct{ *http.Request }

func (b slowBody) Read([]byte) (int, error) {
	<-b.Context().Done()
	return 0, b.Context().Err()
}

// TestAdviceFitsTheErrorCode checks that advice follows Microsoft Entra ID's error code, whichever host
// passes it on.
func TestAdviceFitsTheErrorCode(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"application not found", "AADSTS700016: Application with identifier '00000000-0000-0000-0000-000000000001' was not found in the directory 'Contoso'.", advice.AppNotFound},
		{"application disabled", "AADSTS7000112: Application '00000000-0000-0000-0000-000000000001'(x) is disabled.", advice.AppDisabled},
		{"resource not found", "AADSTS500011: The resource principal named https://vault.example was not found in the tenant.", advice.NoResource},
		{"resource not found, old code", "AADSTS50001: The application named https://vault.example was not found in the tenant.", advice.NoResource},
		{"no federated identity", "AADSTS70021: No matching federated identity record found for presented assertion.", advice.NoFederation},
		{"a code that azhost doesn't know", "AADSTS53003: Access has been blocked by Conditional Access policies.", ""},
		{"a forwarded request", "X-Forwarded-For header is not allowed.", advice.NoForwarding},
		{"a text that azhost doesn't know", "The moon is in the wrong phase.", ""},
	} {
		for _, code := range []string{"invalid_request", "unauthorized_client"} {
			inBubble(t, test.name+", "+code, nil, func(t *testing.T) {
				body, err := json.Marshal(map[string]string{"error": code, "error_description": test.text + "\r\nTrace ID: 00000000-0000-0000-0000-000000000002\r\nCorrelation ID: 00000000-0000-0000-0000-000000000003\r\nTimestamp: 2026-11-25 10:00:00Z"})
				require.NoError(t, err)
				_, err = token(t.Context(), onVM(t, always(answer(400, string(body), "Server: IMDS/1.0")), func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ClientID("me") }))
				requireFailed(t, err)
				require.ErrorContains(t, err, strings.TrimSuffix(test.text, "."))
				if test.want != "" {
					require.True(t, strings.HasSuffix(err.Error(), test.text+" "+test.want), err.Error())
				} else {
					require.True(t, strings.HasSuffix(err.Error()+".", test.text), "advice for an unknown error: %v", err)
				}
				if test.want != advice.NoResource {
					require.NotContains(t, err.Error(), "scope")
				}
			})
		}
	}
}

// TestArcIdentityNotAssigned checks responses with status 404, and with status 400 and a code.
func TestArcIdentityNotAssigned(t *testing.T) {
	a := azhosttest.UserAssigned("a")
	for name, id := range map[string]azhost.ManagedIDKind{
		"client ID": azhost.ClientID(a.ClientID), "object ID": azhost.ObjectID(a.ObjectID), "resource ID": azhost.ResourceID(a.ResourceID),
	} {
		for _, fault := range []azhosttest.Fault{
			{Status: 400, Body: `{"error":"identity_not_found","error_description":"The identity was not found","error_codes":[400]}`},
			{Status: 404, Body: `{"error":"identity_not_found","error_description":"The identity was not found","error_codes":[404]}`},
			{Status: 404, Body: "404 page not found"},
			{Status: 404},
		} {
			inBubble(t, fmt.Sprintf("%s %d %.10s", name, fault.Status, fault.Body), nil, func(t *testing.T) {
				arc := azhosttest.NewArc(t)
				arc.Fail(fault)
				_, err := token(t.Context(), onArc(t, arc, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = id }))
				requireFailed(t, err)
				require.ErrorContains(t, err, fmt.Sprintf("Check that the user-assigned identity with %s %q is assigned to this server, or leave ID nil", name, id))
				require.NotContains(t, err.Error(), "azcmagent")
				arc.RequireRequests(t, 1)
			})
		}
	}
}

// TestUnavailableErrorHasResponse checks that the error has RawResponse, and the text of a body that isn't
// JSON.
func TestUnavailableErrorHasResponse(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		body   string
		want   string
		known  bool
	}{
		{"a portal's page", 200, "<html>\n<title>Sign in</title></html>", "200 OK: <html> <title>Sign in</title></html>", false},
		{"another cloud", 404, "404 - Not Found", "404 Not Found: 404 - Not Found", false},
		{"a proxy", 503, "no healthy upstream", "503 Service Unavailable: no healthy upstream", false},
		{"no identity", 400, `{"error":"invalid_request","error_description":"Identity not found"}`, "400 Bad Request: invalid_request: Identity not found. " + advice.AssignOne, true},
		{"no body", 404, "", "404 Not Found. " + advice.Impostor, false},
	} {
		inBubble(t, test.name, nil, func(t *testing.T) {
			cred := onVM(t, always(answer(test.status, test.body)))
			if test.known {
				cred = onVM(t, always(answer(test.status, test.body)), known)
			}
			_, err := token(t.Context(), cred)
			unavailable := requireUnavailable(t, err)
			require.ErrorContains(t, err, test.want)
			require.Equal(t, test.status, unavailable.RawResponse.StatusCode)
			if test.status != 200 { // a body with status 200 may have a token
				body, err := io.ReadAll(unavailable.RawResponse.Body)
				require.NoError(t, err)
				require.Equal(t, test.body, string(body))
			}
		})
	}
	inBubble(t, "connection refused", nil, func(t *testing.T) {
		_, err := token(t.Context(), onVM(t, always(refusedDial)))
		require.Nil(t, requireUnavailable(t, err).RawResponse)
	})
}
