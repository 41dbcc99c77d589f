// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

func TestIMDSRequest(t *testing.T) {
	for _, test := range []struct {
		name  string
		id    azhost.ManagedIDKind
		query string
	}{
		{"system-assigned", nil, "api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net"},
		{"client ID", azhost.ClientID("c"), "api-version=2018-02-01&client_id=c&resource=https%3A%2F%2Fvault.azure.net"},
		{"object ID", azhost.ObjectID("o"), "api-version=2018-02-01&object_id=o&resource=https%3A%2F%2Fvault.azure.net"},
		{"resource ID", azhost.ResourceID("/subscriptions/s"), "api-version=2018-02-01&msi_res_id=%2Fsubscriptions%2Fs&resource=https%3A%2F%2Fvault.azure.net"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got *http.Request
			cred := onVM(t, always(func(req *http.Request) (*http.Response, error) {
				got = req
				return goodToken(req)
			}), func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = test.id })
			tk, err := token(t.Context(), cred)
			require.NoError(t, err)
			require.Equal(t, "the.token", tk.Token)
			require.Equal(t, "GET http://169.254.169.254/metadata/identity/oauth2/token", got.Method+" "+strings.TrimSuffix(got.URL.String(), "?"+got.URL.RawQuery))
			require.Equal(t, test.query, got.URL.RawQuery)
			require.Equal(t, "true", got.Header.Get("Metadata"))
			require.Contains(t, got.Header.Get("User-Agent"), "azsdk-go-azhost/v")
			require.Empty(t, got.Header.Get("Authorization"))
			require.Nil(t, got.Body)
		})
	}
}

func TestIMDSInvalidResponses(t *testing.T) {
	const good = `"access_token":"secret.canary","expires_in":"3600"`
	for _, test := range []struct {
		name, body, want string
	}{
		{"no token", `{"expires_in":"3600"}`, "no access_token"},
		{"empty token", `{"access_token":"","expires_in":"3600"}`, "access_token is empty"},
		{"expired", `{"access_token":"secret.canary","expires_on":"1700000000"}`, "has already expired"},
		{"no expiry", `{"access_token":"secret.canary"}`, "does not say when"},
		{"not JSON", `access_token=secret.canary`, "not valid JSON"},
		{"truncated JSON", `{` + good, "not valid JSON"},
		{"array", `[{` + good + `}]`, "not an object"},
		{"another token type", `{` + good + `,"token_type":"mtls_pop"}`, "token_type"},
		{"larger than 1 MiB", `{` + good + `,"x":"` + strings.Repeat("x", 1<<20) + `"}`, "larger than 1 MiB"},
		{"another identity", `{` + good + `,"client_id":"22222222"}`, "not \"11111111\""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := always(answer(200, test.body, "Server: IMDS/1.0"))
			cred := onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ClientID("11111111") })
			tk, err := token(t.Context(), cred)
			failed := requireFailed(t, err)
			require.Zero(t, tk)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "canary")
			if failed.RawResponse != nil {
				body, err := io.ReadAll(failed.RawResponse.Body)
				require.NoError(t, err)
				require.Empty(t, body, "the body of a success may hold a token")
			}
			require.Equal(t, 1, w.Requests())
		})
	}
}

func TestIMDSResponseIdentity(t *testing.T) {
	const id = "/subscriptions/s/resourceGroups/G/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i"
	for _, test := range []struct {
		name, echo string
		kind       azhost.ManagedIDKind
		ok         bool
	}{
		{"the same", `"msi_res_id":"` + id + `"`, azhost.ResourceID(id), true},
		{"in another case", `"msi_res_id":"` + strings.ToUpper(id) + `"`, azhost.ResourceID(id), true},
		{"in the other spelling", `"mi_res_id":"` + id + `"`, azhost.ResourceID(id), true},
		{"none", `"x":1`, azhost.ResourceID(id), true},
		{"another", `"msi_res_id":"` + id + `2"`, azhost.ResourceID(id), false},
		{"another kind of ID is not compared", `"client_id":"other"`, azhost.ObjectID("o"), true},
		{"another object", `"object_id":"other"`, azhost.ObjectID("o"), false},
		{"no ID selected", `"client_id":"any"`, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cred := onVM(t, always(answer(200, `{"access_token":"t","expires_in":3600,`+test.echo+`}`, "Server: IMDS/1.0")),
				func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = test.kind })
			_, err := token(t.Context(), cred)
			if test.ok {
				require.NoError(t, err)
			} else {
				requireFailed(t, err)
			}
		})
	}
}

func TestIMDSRejections(t *testing.T) {
	const imds = "Server: IMDS/150.870.65.1854"
	notFound := `{"error":"invalid_request","error_description":"Identity not found"}`
	for _, test := range []struct {
		name        string
		status      int
		body        string
		id          azhost.ManagedIDKind
		unavailable bool
		want        string
	}{
		{"no identity", 400, notFound, nil, true, "Enable the system-assigned identity"},
		{"not assigned", 400, notFound, azhost.ClientID("11111111"), false, `identity with client ID "11111111" is assigned to this machine`},
		{"several", 400, `{"error":"invalid_request","error_description":"Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"}`, nil, false, "Set ID"},
		{"unknown resource", 400, `{"error":"invalid_resource","error_description":"AADSTS50001: The application was not found"}`, nil, false, "Check the scope, including trailing slashes"},
		{"unknown resource, with an ID", 400, `{"error":"invalid_resource","error_description":"AADSTS500011"}`, azhost.ClientID("11111111"), false, "Check the scope, including trailing slashes"},
		{"AADSTS alone", 400, `{"error":"invalid_request","error_description":"AADSTS65001: no consent"}`, nil, false, "AADSTS65001: no consent"},
		{"API version", 400, `{"error":"Bad request. api-version is invalid","newest-versions":["2025-01-01"]}`, nil, false, "doesn't support the API version"},
		{"by its schema", 400, `{"code":"BadRequest","message":"nothing"}`, nil, true, "BadRequest: nothing"},
		{"401", 401, `{"error":"unauthorized_client","error_description":"no"}`, nil, false, "401 Unauthorized: unauthorized_client: no"},
		{"403", 403, `{"error":"access_denied","error_description":"no"}`, nil, false, "403 Forbidden"},
		{"405", 405, `{"error":"x","error_description":"y"}`, nil, false, "405 Method Not Allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := always(answer(test.status, test.body, imds, "x-ms-request-id: 1d0ca74a-b05e-4ca1-a41c-cd2b6c0c0f4a"))
			_, err := token(t.Context(), onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = test.id }))
			if test.unavailable {
				requireUnavailable(t, err)
			} else {
				failed := requireFailed(t, err)
				require.Equal(t, test.status, failed.RawResponse.StatusCode)
				body, err := io.ReadAll(failed.RawResponse.Body)
				require.NoError(t, err)
				require.Equal(t, test.body, string(body))
			}
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, "GET http://169.254.169.254/metadata/identity/oauth2/token")
			require.NotContains(t, err.Error(), "1d0ca74a", "a request ID differs each time")
			require.NotContains(t, err.Error(), "api-version=", "the query must not be in an error")
			require.Equal(t, 1, w.Requests(), "final responses are not retried")
		})
	}
}

func TestFailingIMDSIsRetried(t *testing.T) {
	for _, status := range []int{404, 410, 429, 500, 502, 503, 504, 511} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
					if n <= 5 {
						return answer(status, "", "Server: IMDS/1.0")(req)
					}
					return goodToken(req)
				}}
				start := time.Now()
				_, err := token(t.Context(), onVM(t, w))
				require.NoError(t, err)
				require.Equal(t, 6, w.Requests())
				waited := time.Since(start)
				require.GreaterOrEqual(t, waited, 70*time.Second, "an update may take 70 s")
				require.LessOrEqual(t, waited, 150*time.Second)
			})
		})
	}
}

func TestIMDSKeepsFailing(t *testing.T) {
	for _, test := range []struct {
		name string
		last func(*http.Request) (*http.Response, error)
	}{
		{"IMDS's 503", answer(503, `{"error":"unknown","error_description":"later"}`, "Server: IMDS/1.0")},
		{"its host's 500", answer(500, "oops", "Server: Microsoft-IIS/10.0", "Content-Type: text/plain")},
		{"a bare 410", answer(410, "")},
		{"a bare 429", answer(429, "")},
		{"a gateway's 504", answer(504, "<html>")},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := always(test.last)
				_, err := token(t.Context(), onVM(t, w, known))
				require.NotNil(t, requireFailed(t, err).RawResponse)
				require.Equal(t, 6, w.Requests())
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for _, test := range []struct {
		name   string
		value  func() string
		min    time.Duration
		max    time.Duration
		retry  bool
		status int
	}{
		{"a second", func() string { return "1" }, time.Second, 2500 * time.Millisecond, true, 429},
		{"half a minute", func() string { return "30" }, 30 * time.Second, 46 * time.Second, true, 503},
		{"a minute", func() string { return "60" }, time.Minute, time.Minute, true, 429},
		{"a date", func() string { return time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat) }, 20 * time.Second, 31 * time.Second, true, 429},
		{"longer than a minute", func() string { return "61" }, 0, 0, false, 429},
		{"nonsense", func() string { return "soon" }, 1600 * time.Millisecond, 2600 * time.Millisecond, true, 429},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
					if n == 1 {
						return answer(test.status, "", "Retry-After: "+test.value(), "Server: IMDS/1.0")(req)
					}
					return goodToken(req)
				}}
				start := time.Now()
				_, err := token(t.Context(), onVM(t, w))
				if !test.retry {
					requireFailed(t, err)
					require.Equal(t, 1, w.Requests())
					return
				}
				require.NoError(t, err)
				require.GreaterOrEqual(t, time.Since(start), test.min)
				require.LessOrEqual(t, time.Since(start), test.max)
			})
		})
	}
}

// impostors are responses of other programs that were seen at IMDS's address.
var impostors = []struct {
	name   string
	answer func(*http.Request) (*http.Response, error)
}{
	{"a gateway's 503", answer(503, "<html>", "Server: nginx")},
	{"a gateway's 504", answer(504, "<html>")},
	{"a network's login page", answer(511, "<html>Sign in</html>")},
	{"a bare 410", answer(410, "")},
	{"EC2's 404", answer(404, "<?xml version=\"1.0\"?><html><body>404 - Not Found</body></html>", "Server: EC2ws", "Content-Type: text/html")},
	{"EC2's 401", answer(401, "<html>401 - Unauthorized</html>", "Server: EC2ws")},
	{"GCE's 403", answer(403, "Missing Metadata-Flavor:Google header.", "Server: Metadata Server for VM", "Metadata-Flavor: Google")},
	{"GCE's 404", answer(404, "<!DOCTYPE html><title>Error 404 (Not Found)!!1</title>", "Server: Metadata Server for VM")},
	{"a captive portal", answer(200, "<html><body>Welcome to the hotel</body></html>", "Content-Type: text/html")},
	{"a portal's large page", answer(200, strings.Repeat("<p>", 1<<20), "Content-Type: text/html")},
	{"a portal's redirect", answer(302, "", "Location: http://portal.example/login?token=x")},
	{"a proxy's 404", answer(404, "<h1>404</h1>", "Server: squid/5.7")},
	{"a proxy's JSON", answer(404, `{"error":"Not Found"}`)},
	{"JSON of something else", answer(200, `{"status":"ok"}`)},
	{"an empty 200", answer(200, "")},
	{"Docker Desktop, in English", answer(403, "connecting to 169.254.169.254:80: connecting to 169.254.169.254:80: dial tcp 169.254.169.254:80: connectex: A socket operation was attempted to an unreachable network.")},
	{"Docker Desktop, in Norwegian", answer(403, "connecting to 169.254.169.254:80: dial tcp 169.254.169.254:80: connectex: Det ble gjort forsøk på en socketoperasjon mot et nettverk som ikke kan nås.")},
	{"refused", refusedDial},
	{"unreachable", func(*http.Request) (*http.Response, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	}},
	{"cut short", func(req *http.Request) (*http.Response, error) {
		resp, _ := answer(200, "")(req)
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("<htm"), iotest.ErrReader(io.ErrUnexpectedEOF)))
		return resp, nil
	}},
}

func TestNotOnAzure(t *testing.T) {
	for _, test := range impostors {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := always(test.answer)
				made := ""
				moveOn := errors.New("unavailable")
				cred := onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) {
					o.UnavailableError = func(message string) error { made = message; return moveOn }
				})
				start := time.Now()
				_, err := token(t.Context(), cred)
				unavailable := requireUnavailable(t, err)
				require.Zero(t, time.Since(start))
				require.Equal(t, 1, w.Requests(), "one attempt is enough")
				require.ErrorIs(t, err, moveOn)
				if test.name == "refused" {
					require.ErrorIs(t, err, syscall.ECONNREFUSED, "the error must also wrap the cause")
				}
				require.Equal(t, unavailable.Error(), made)
				require.NotContains(t, err.Error(), "token=x")
				require.Less(t, len(err.Error()), 2000)

				_, err = token(t.Context(), cred)
				requireUnavailable(t, err)
				require.Equal(t, 1, w.Requests(), "the failure is remembered")
				time.Sleep(1100 * time.Millisecond)
				w.Answer = func(_ int, req *http.Request) (*http.Response, error) { return goodToken(req) }
				_, err = token(t.Context(), cred)
				require.NoError(t, err, "the failure is remembered for too long")
			})
		})
	}
}

func TestEndpointInError(t *testing.T) {
	const endpoint = "http://127.0.0.1:1/a%20b%25s"
	for name, w := range map[string]*wire{"unavailable": always(refusedDial), "failed": always(answer(403, "", "Server: IMDS/1.0"))} {
		_, err := token(t.Context(), onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.Endpoint = endpoint }))
		require.ErrorContains(t, err, "GET "+endpoint+": ", name)
		require.NotContains(t, err.Error(), "%!", name)
	}
}

// refusals are the impostors whose response is final on a known host.
var refusals = map[string]bool{
	"EC2's 401": true, "GCE's 403": true, "a captive portal": true, "a portal's large page": true, "a portal's redirect": true,
	"JSON of something else": true, "an empty 200": true, "Docker Desktop, in English": true, "Docker Desktop, in Norwegian": true,
}

func TestKnownIMDSRejectionsAreFinal(t *testing.T) {
	for _, test := range impostors {
		if !refusals[test.name] {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			w := always(test.answer)
			_, err := token(t.Context(), onVM(t, w, known))
			require.Error(t, err)
			require.Equal(t, 1, w.Requests())
		})
	}
}

func TestKnownIMDSIsRetried(t *testing.T) {
	for _, test := range impostors {
		if refusals[test.name] {
			continue // TestKnownIMDSRejectionsAreFinal
		}
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				well := true
				w := new(wire)
				w.Answer = func(n int, req *http.Request) (*http.Response, error) {
					if well || n > 4 {
						return goodToken(req)
					}
					return test.answer(req)
				}
				cred := onVM(t, w)
				_, err := token(t.Context(), cred)
				require.NoError(t, err)
				well = false
				_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
				require.NoError(t, err)
				require.Equal(t, 5, w.Requests())
			})
		})
	}
}

// TestIMDSRestarts checks a restart of IMDS: first its host responds, then nothing, then IMDS.
func TestIMDSRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
			switch n {
			case 1:
				return answer(500, "oops", "Server: Microsoft-IIS/10.0")(req)
			case 2:
				return refusedDial(req)
			}
			return goodToken(req)
		}}
		_, err := token(t.Context(), onVM(t, w))
		require.NoError(t, err)
		require.Equal(t, 3, w.Requests())
	})
}

func TestKnownIMDSDisappears(t *testing.T) {
	for _, test := range impostors {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
					if n == 1 {
						return answer(400, `{"error":"invalid_resource","error_description":"AADSTS500011"}`)(req)
					}
					return test.answer(req)
				}}
				cred := onVM(t, w)
				_, err := token(t.Context(), cred)
				requireFailed(t, err)
				time.Sleep(2 * time.Second)
				_, err = token(t.Context(), cred)
				requireFailed(t, err)
				if requireFailed(t, err).RawResponse == nil && !strings.Contains(test.name, "large") && !strings.Contains(test.name, "redirect") && test.name != "cut short" {
					require.ErrorContains(t, err, "IMDS responded at this address earlier")
				}
			})
		})
	}
}

func TestSlowIMDS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cred := onVM(t, always(func(req *http.Request) (*http.Response, error) {
			select {
			case <-time.After(10 * time.Second):
				return goodToken(req)
			case <-req.Context().Done():
				return nil, req.Context().Err()
			}
		}))
		_, err := token(t.Context(), cred)
		require.NoError(t, err)
	})
}

func TestContextEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cred := onVM(t, always(answer(410, "")), known)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err := token(ctx, cred)
		requireFailed(t, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(start))
	})
}
