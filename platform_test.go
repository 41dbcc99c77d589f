// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestPlatformRequests(t *testing.T) {
	expires := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	for _, test := range []struct {
		name   string
		source azhost.Source
		id     azhost.ManagedIDKind
		echo   string // in the response
		want   string // method, URL, body
		header http.Header
	}{
		{"App Service", azhost.SourceAppService, nil, "",
			"GET http://localhost:4141/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net ",
			http.Header{"X-Identity-Header": {"canary-secret"}, "Metadata": {"true"}}},
		{"App Service by client ID", azhost.SourceAppService, azhost.ClientID("me"), `"client_id":"ME",`,
			"GET http://localhost:4141/msi/token?api-version=2019-08-01&client_id=me&resource=https%3A%2F%2Fvault.azure.net ",
			http.Header{"X-Identity-Header": {"canary-secret"}}},
		{"App Service by object ID", azhost.SourceAppService, azhost.ObjectID("me"), "",
			"GET http://localhost:4141/msi/token?api-version=2019-08-01&object_id=me&resource=https%3A%2F%2Fvault.azure.net ", nil},
		{"App Service by resource ID", azhost.SourceAppService, azhost.ResourceID("/me"), "",
			"GET http://localhost:4141/msi/token?api-version=2019-08-01&mi_res_id=%2Fme&resource=https%3A%2F%2Fvault.azure.net ", nil},
		{"Cloud Shell", azhost.SourceCloudShell, nil, "",
			"POST http://localhost:50342/oauth2/token resource=https%3A%2F%2Fvault.azure.net",
			http.Header{"Metadata": {"true"}, "Content-Type": {"application/x-www-form-urlencoded"}}},
		{"Azure ML", azhost.SourceAzureML, nil, "",
			"GET http://10.0.0.4:4142/token?api-version=2017-09-01&clientid=default-id&resource=https%3A%2F%2Fvault.azure.net ",
			http.Header{"Secret": {"canary-secret"}}},
		{"Azure ML by client ID", azhost.SourceAzureML, azhost.ClientID("me"), `"client_id":"me",`,
			"GET http://10.0.0.4:4142/token?api-version=2017-09-01&clientid=me&resource=https%3A%2F%2Fvault.azure.net ", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := always(func(req *http.Request) (*http.Response, error) {
				var body []byte
				if req.Body != nil {
					body, _ = io.ReadAll(req.Body)
				}
				require.Equal(t, test.want, fmt.Sprintf("%s %s %s", req.Method, req.URL, body))
				for name, want := range test.header {
					require.Equal(t, want, req.Header[name], name)
				}
				return answer(200, fmt.Sprintf(`{"access_token":"the.token",%s"expires_on":"%d","token_type":"Bearer"}`, test.echo, expires.Unix()))(req)
			})
			cred, err := onPlatform(t, test.source, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = test.id })
			require.NoError(t, err)
			require.Equal(t, test.source, cred.Source())
			tk, err := token(t.Context(), cred)
			require.NoError(t, err)
			require.Equal(t, "the.token", tk.Token)
			require.Equal(t, expires, tk.ExpiresOn)
		})
	}
}

func TestAzureMLWithoutDefaultIdentity(t *testing.T) {
	cred, err := onPlatform(t, azhost.SourceAzureML, always(func(req *http.Request) (*http.Response, error) {
		require.True(t, req.URL.Query().Has("clientid"))
		require.Empty(t, req.URL.Query().Get("clientid"))
		return answer(202, `{"access_token":"the.token","expires_in":3600.0}`)(req)
	}))
	require.NoError(t, err)
	t.Setenv("DEFAULT_IDENTITY_CLIENT_ID", "")
	_, err = token(t.Context(), cred)
	require.NoError(t, err)
}

// TestVariablesAreReadForEveryAttempt checks that variables are read for every attempt, because a platform
// may change them while the program runs.
func TestVariablesAreReadForEveryAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		setHost(t, azhost.SourceAppService)
		w := &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
			if n == 1 {
				require.Equal(t, "canary-secret", req.Header.Get("X-Identity-Header"))
				require.NoError(t, os.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:2/new?tenant=a&resource=other"))
				require.NoError(t, os.Setenv("IDENTITY_HEADER", "rotated"))
				return answer(500, "")(req)
			}
			require.Equal(t, "rotated", req.Header.Get("X-Identity-Header"))
			require.Equal(t, "http://127.0.0.1:2/new?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net&tenant=a", req.URL.String())
			require.Equal(t, "127.0.0.1:2", req.Host)
			return goodToken(req)
		}}
		o := &azhost.ManagedIdentityCredentialOptions{}
		o.Transport = w
		cred, err := azhost.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		_, err = token(t.Context(), cred)
		require.NoError(t, err)
		require.Equal(t, 2, w.Requests())
	})
}

// TestErrorNamesCurrentEndpoint checks that the error names the current endpoint, not that of the first
// attempt.
func TestErrorNamesCurrentEndpoint(t *testing.T) {
	for name, w := range map[string]*wire{
		"response": always(answer(400, "")), "no response": always(refusedDial), "redirect": always(answer(302, "")),
	} {
		t.Run(name, func(t *testing.T) {
			cred, err := onPlatform(t, azhost.SourceAppService, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.Retry.MaxRetries = -1 })
			require.NoError(t, err)
			t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:3/new?code=canary")
			_, err = token(t.Context(), cred)
			require.ErrorContains(t, err, "App Service: GET http://127.0.0.1:3/new: ")
			require.NotContains(t, err.Error(), "canary")
		})
	}
}

func TestVariableIsUnset(t *testing.T) {
	for name, want := range map[string]string{
		"IDENTITY_HEADER":   "IDENTITY_HEADER is not set. App Service sets it",
		"IDENTITY_ENDPOINT": "IDENTITY_ENDPOINT is not set. App Service sets it",
	} {
		t.Run(name, func(t *testing.T) {
			w := always(goodToken)
			cred, err := onPlatform(t, azhost.SourceAppService, w)
			require.NoError(t, err)
			t.Setenv(name, "")
			_, err = token(t.Context(), cred)
			requireFailed(t, err)
			require.ErrorContains(t, err, want)
			require.Zero(t, w.Requests())
		})
	}
}

// TestEndpointOption checks that the option overrides the variable, and that the secret's variable is still
// read.
func TestEndpointOption(t *testing.T) {
	cred, err := onPlatform(t, azhost.SourceAppService, always(func(req *http.Request) (*http.Response, error) {
		require.Equal(t, "127.0.0.1:9", req.URL.Host)
		require.Equal(t, "canary-secret", req.Header.Get("X-Identity-Header"))
		return goodToken(req)
	}), func(o *azhost.ManagedIdentityCredentialOptions) { o.Endpoint = "http://127.0.0.1:9/token" })
	require.NoError(t, err)
	_, err = token(t.Context(), cred)
	require.NoError(t, err)

	cred, err = onPlatform(t, azhost.SourceAppService, always(refusedDial), func(o *azhost.ManagedIdentityCredentialOptions) {
		o.Endpoint, o.Retry.MaxRetries = "http://127.0.0.1:9/token", -1
	})
	require.NoError(t, err)
	_, err = token(t.Context(), cred)
	require.ErrorContains(t, err, "GET http://127.0.0.1:9/token: ", "the error must name the endpoint in use")
}

func TestPlatformRejections(t *testing.T) {
	for _, test := range []struct {
		name   string
		source azhost.Source
		id     azhost.ManagedIDKind
		status int
		body   string
		want   []string
	}{
		{"App Service without identity", azhost.SourceAppService, nil, 400, `{"statusCode":400,"message":"No managed identity"}`,
			[]string{"App Service: GET http://localhost:4141/msi/token: 400 Bad Request: No managed identity", "Enable the system-assigned identity"}},
		{"App Service without that identity", azhost.SourceAppService, azhost.ClientID("me"), 400, "", []string{`identity with client ID "me" is assigned to this app`}},
		{"App Service, wrong header", azhost.SourceAppService, nil, 403, "", []string{"403 Forbidden. Check that IDENTITY_HEADER is"}},
		{"App Service, wrong resource", azhost.SourceAppService, nil, 500, "", []string{"doesn't recognize the resource"}},
		{"App Service, another parameter", azhost.SourceAppService, nil, 400, `{"statusCode":400,"message":"The api-version is not supported"}`,
			[]string{"The api-version is not supported. App Service was chosen"}},
		{"App Service, a proxy's page", azhost.SourceAppService, nil, 404, "<html>nginx</html>", []string{"404 Not Found: <html>nginx</html>. App Service was chosen"}},
		{"App Service, a proxy's failure", azhost.SourceAppService, nil, 500, "oops", []string{"500 Internal Server Error: oops. App Service was chosen"}},
		{"App Service, odd status", azhost.SourceAppService, nil, 418, "", []string{"418"}},
		{"Cloud Shell, wrong audience", azhost.SourceCloudShell, nil, 400, `{"error":{"code":"AudienceNotSupported","message":"Audience x"}}`,
			[]string{"Cloud Shell: POST", "AudienceNotSupported: Audience x", "only some resources"}},
		{"Cloud Shell, failing", azhost.SourceCloudShell, nil, 503, "", []string{"503 Service Unavailable"}},
		{"Azure ML, wrong identity", azhost.SourceAzureML, azhost.ClientID("me"), 400, "", []string{"Check that the identity is assigned to this compute"}},
		{"Azure ML, a proxy's page", azhost.SourceAzureML, nil, 404, "<html>nginx</html>", []string{"404 Not Found: <html>nginx</html>. Azure ML was chosen"}},
		{"Azure ML, wrong secret", azhost.SourceAzureML, nil, 401, "", []string{"Check that MSI_SECRET is"}},
		{"another identity's token", azhost.SourceAppService, azhost.ClientID("me"), 200, `{"access_token":"canary","expires_in":"60","client_id":"you"}`,
			[]string{`"you", not "me"`}},
		{"HTML", azhost.SourceAzureML, nil, 200, "<html>", []string{"a page of HTML"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cred, err := onPlatform(t, test.source, always(answer(test.status, test.body)), func(o *azhost.ManagedIdentityCredentialOptions) {
				o.ID, o.Retry.MaxRetries = test.id, -1
			})
			require.NoError(t, err)
			tk, err := token(t.Context(), cred)
			failed := requireFailed(t, err)
			require.Zero(t, tk)
			for _, want := range test.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "canary")
			require.NotContains(t, fmt.Sprint(failed.RawResponse.Request.Header), "canary")
		})
	}
}

// TestPlatformsAreRetried checks that platforms are retried on IMDS's schedule, because their sidecar may
// start after the program.
func TestPlatformsAreRetried(t *testing.T) {
	for status, want := range map[int]int{400: 1, 404: 1, 408: 6, 410: 6, 429: 6, 500: 6, 503: 6, 504: 6, 509: 6, 520: 6, 599: 6, 600: 1} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := always(answer(status, ""))
				cred, err := onPlatform(t, azhost.SourceCloudShell, w)
				require.NoError(t, err)
				_, err = token(t.Context(), cred)
				requireFailed(t, err)
				require.Equal(t, want, w.Requests())
			})
		})
	}
}

// TestPlatformSecretIsNotLeaked checks for platforms' secrets what TestSecretsAreNotLeaked checks for the
// Arc agent's key.
func TestPlatformSecretIsNotLeaked(t *testing.T) {
	for name, body := range map[string]string{
		"AppService": `{"error":"canary-secret"}`, "AzureML": `{"error":{"code":"x","message":"canary\u002dsecret"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			var written safeBuffer
			cred, err := onPlatform(t, azhost.Source(name), always(answer(500, body, "x-ms-request-id: canary-secret")),
				func(o *azhost.ManagedIdentityCredentialOptions) {
					o.Logger = slog.New(slog.NewTextHandler(&written, nil))
					o.Logging.AllowedHeaders = []string{"secret", "x-identity-header"}
					o.TracingProvider = spans(&written)
					o.Retry.MaxRetries = -1
				})
			require.NoError(t, err)
			_, err = token(t.Context(), cred)
			failed := requireFailed(t, err)
			fmt.Fprintln(&written, err, failed.RawResponse, failed.RawResponse.Request)
			require.Contains(t, written.String(), "[removed]")
			require.NotContains(t, written.String(), "canary")
		})
	}
}

func TestPlatformConstructorErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		source azhost.Source
		adjust func(*azhost.ManagedIdentityCredentialOptions)
		unset  string
		want   string
	}{
		{"Cloud Shell, user-assigned", azhost.SourceCloudShell, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ClientID("me") }, "", "Cloud Shell has only its user's identity; leave ID nil"},
		{"Service Fabric, user-assigned", azhost.SourceServiceFabric, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ObjectID("me") }, "", "the application's manifest selects it"},
		{"Azure ML by object ID", azhost.SourceAzureML, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ObjectID("me") }, "", "by client ID only"},
		{"Azure ML by resource ID", azhost.SourceAzureML, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ResourceID("me") }, "", "by client ID only"},
		{"an invalid endpoint", azhost.SourceCloudShell, func(o *azhost.ManagedIdentityCredentialOptions) { o.Endpoint = "localhost:50342" }, "", "not an http or https URL"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setHost(t, test.source)
			if test.unset != "" {
				t.Setenv(test.unset, "")
			}
			var o azhost.ManagedIdentityCredentialOptions
			test.adjust(&o)
			cred, err := azhost.NewManagedIdentityCredential(&o)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "canary")
			require.Nil(t, cred)
		})
	}
}

// TestInvalidEnvironment checks GetToken's errors. The constructor succeeds, because one leftover variable
// must not stop a program whose chain would continue.
func TestInvalidEnvironment(t *testing.T) {
	for _, test := range []struct {
		name   string
		source azhost.Source // "" detects
		env    map[string]string
		want   string
	}{
		{"a word", "", map[string]string{"MSI_ENDPOINT": "test"}, `MSI_ENDPOINT "test" is not an http or https URL`},
		{"in quotes", "", map[string]string{"IDENTITY_ENDPOINT": `"http://localhost:1/token"`, "IDENTITY_HEADER": "x"}, `IDENTITY_ENDPOINT `},
		{"with a user", "", map[string]string{"IDENTITY_ENDPOINT": "http://canary@localhost/", "IDENTITY_HEADER": "x"}, "IDENTITY_ENDPOINT contains user information"},
		{"an Arc agent elsewhere", "", map[string]string{"IDENTITY_ENDPOINT": "http://10.0.0.4/token", "IMDS_ENDPOINT": "http://10.0.0.4"}, "IDENTITY_ENDPOINT \"http://10.0.0.4/token\" is not a loopback address"},
		{"an Arc agent without a path", "", map[string]string{"IDENTITY_ENDPOINT": "http://localhost:40342", "IMDS_ENDPOINT": "http://localhost:40342"}, "http://localhost:40342/metadata/identity/oauth2/token"},
		{"no header", azhost.SourceAppService, map[string]string{"IDENTITY_ENDPOINT": "http://localhost/"}, "IDENTITY_HEADER is not set. App Service sets it"},
		{"a blank header", azhost.SourceAppService, map[string]string{"IDENTITY_ENDPOINT": "http://localhost/", "IDENTITY_HEADER": " \n"}, "IDENTITY_HEADER is not set. App Service sets it"},
		{"a header in two lines", azhost.SourceAppService, map[string]string{"IDENTITY_ENDPOINT": "http://localhost/", "IDENTITY_HEADER": "canary\nx"}, "IDENTITY_HEADER contains a control character"},
		{"no endpoint", azhost.SourceAppService, map[string]string{"IDENTITY_HEADER": "x"}, "IDENTITY_ENDPOINT is not set. App Service sets it"},
		{"no secret", azhost.SourceAzureML, map[string]string{"MSI_ENDPOINT": "http://localhost/"}, "MSI_SECRET is not set. Azure ML sets it"},
		{"Service Fabric over plain HTTP", "", map[string]string{"IDENTITY_ENDPOINT": "http://localhost/", "IDENTITY_HEADER": "x", "IDENTITY_SERVER_THUMBPRINT": strings.Repeat("0", 40)}, "is not an https URL"},
		{"a short thumbprint", "", map[string]string{"IDENTITY_ENDPOINT": "https://localhost/", "IDENTITY_HEADER": "x", "IDENTITY_SERVER_THUMBPRINT": strings.Repeat("0", 38)}, "40 hexadecimal digits"},
		{"an invalid thumbprint", "", map[string]string{"IDENTITY_ENDPOINT": "https://localhost/", "IDENTITY_HEADER": "x", "IDENTITY_SERVER_THUMBPRINT": "y"}, "IDENTITY_SERVER_THUMBPRINT is not a SHA-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET"} {
				t.Setenv(name, test.env[name])
			}
			var logged safeBuffer
			cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
				Source: test.source, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
			})
			require.NoError(t, err)
			require.Contains(t, logged.String(), "level=WARN")
			_, err = token(t.Context(), cred)
			requireUnavailable(t, err)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error()+logged.String(), "canary")
		})
	}
}

// TestVariablesAreTrimmed checks that white space around variables is removed, because env files leave a
// newline at the end.
func TestVariablesAreTrimmed(t *testing.T) {
	setHost(t, azhost.SourceAppService)
	t.Setenv("IDENTITY_ENDPOINT", " http://localhost:4141/msi/token\n")
	t.Setenv("IDENTITY_HEADER", "x\r\n")
	cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{
		Transport: always(func(req *http.Request) (*http.Response, error) {
			require.Equal(t, "x", req.Header.Get("X-Identity-Header"))
			require.Equal(t, "localhost:4141", req.URL.Host)
			return goodToken(req)
		}),
	}})
	require.NoError(t, err)
	_, err = token(t.Context(), cred)
	require.NoError(t, err)
}

// TestPlainHTTPEndpointIsLogged checks that a plain HTTP endpoint on the network is logged, because others
// on the network can read the tokens.
func TestPlainHTTPEndpointIsLogged(t *testing.T) {
	for endpoint, warned := range map[string]bool{
		"http://localhost/token": false, "http://127.0.0.1/token": false, "http://[::1]/token": false,
		"http://169.254.129.2:8081/token": false, "http://100.64.100.2:41580/MSI/token/": false, "http://[fe80::1]/token": false, "https://10.0.0.4/token": false,
		"http://10.0.0.4/token": true, "http://proxy/token": true, "http://[2001:db8::1]/token": true,
	} {
		t.Run(endpoint, func(t *testing.T) {
			var logged safeBuffer
			_, err := onPlatform(t, azhost.SourceCloudShell, always(goodToken), func(o *azhost.ManagedIdentityCredentialOptions) {
				o.Endpoint, o.Logger = endpoint, slog.New(slog.NewTextHandler(&logged, nil))
			})
			require.NoError(t, err)
			const text = "neither on this machine nor encrypted"
			if warned {
				require.Contains(t, logged.String(), text)
			} else {
				require.NotContains(t, logged.String(), text)
			}
		})
	}
}

// TestPlatformsOverLoopback checks that each platform, detected by its variables, returns a token for each
// identity that a program can select.
func TestPlatformsOverLoopback(t *testing.T) {
	type fake interface {
		Setenv(testing.TB)
		SetIdentities(...azhosttest.Identity)
		Verify(string) (map[string]any, error)
	}
	system, user := azhosttest.SystemAssigned(), azhosttest.UserAssigned("app")
	for _, test := range []struct {
		source azhost.Source
		make   func(testing.TB) fake
		ids    []azhost.ManagedIDKind
	}{
		{azhost.SourceAppService, func(t testing.TB) fake { return azhosttest.NewAppService(t) },
			[]azhost.ManagedIDKind{nil, azhost.ClientID(user.ClientID), azhost.ObjectID(user.ObjectID), azhost.ResourceID(user.ResourceID)}},
		{azhost.SourceServiceFabric, func(t testing.TB) fake { return azhosttest.NewServiceFabric(t) }, []azhost.ManagedIDKind{nil}},
		{azhost.SourceCloudShell, func(t testing.TB) fake { return azhosttest.NewCloudShell(t) }, []azhost.ManagedIDKind{nil}},
		{azhost.SourceAzureML, func(t testing.TB) fake { return azhosttest.NewAzureML(t) }, []azhost.ManagedIDKind{nil, azhost.ClientID(user.ClientID)}},
	} {
		t.Run(string(test.source), func(t *testing.T) {
			host := test.make(t)
			host.SetIdentities(system, user)
			host.Setenv(t)
			for _, id := range test.ids {
				cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{ID: id})
				require.NoError(t, err)
				require.Equal(t, test.source, cred.Source())
				tk, err := token(t.Context(), cred)
				require.NoError(t, err)
				claims, err := host.Verify(tk.Token)
				require.NoError(t, err)
				want := system.ObjectID
				if id != nil {
					want = user.ObjectID
				}
				require.Equal(t, want, claims["oid"])
				require.EqualValues(t, claims["exp"], tk.ExpiresOn.Unix())
			}
		})
	}
}
