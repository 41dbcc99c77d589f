// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// This file tests what users report about variables and options that come from files and templates.

// TestWhiteSpaceAroundVariables checks that white space around variables, such as the line ends of env
// files, has no effect.
func TestWhiteSpaceAroundVariables(t *testing.T) {
	for name, around := range map[string][2]string{
		"line end": {"", "\n"}, "Windows line end": {"", "\r\n"}, "tabs": {"\t", "\t"}, "spaces": {"  ", " "}, "no-break spaces": {"\u00a0", "\u00a0"},
	} {
		for source, env := range platforms {
			if source == azhost.SourceServiceFabric {
				continue // in TestServiceFabricRequest, over a socket
			}
			blank := map[string]string{}
			for variable, value := range env {
				blank[variable] = around[0] + value + around[1]
			}
			inBubble(t, fmt.Sprint(source, ", ", name), blank, func(t *testing.T) {
				var got *http.Request
				cred := credential(t, always(func(req *http.Request) (*http.Response, error) {
					got = req
					return goodToken(req)
				}))
				require.Equal(t, source, cred.Source())
				_, err := token(t.Context(), cred)
				require.NoError(t, err)
				for _, variable := range []string{"IDENTITY_ENDPOINT", "MSI_ENDPOINT"} {
					require.True(t, strings.HasPrefix(got.URL.String(), env[variable]), got.URL)
				}
				for header, variable := range map[string]string{"X-Identity-Header": "IDENTITY_HEADER", "Secret": "MSI_SECRET"} {
					if value := got.Header.Get(header); value != "" {
						require.Equal(t, env[variable], value)
					}
				}
			})
		}
		inBubble(t, "nothing but "+name, map[string]string{"IDENTITY_ENDPOINT": around[1], "IDENTITY_HEADER": around[1], "MSI_ENDPOINT": around[1]}, func(t *testing.T) {
			require.Equal(t, azhost.SourceIMDS, credential(t, always(goodToken)).Source())
		})
	}
}

// TestErrorNamesInvalidVariable checks that GetToken's error names the invalid variable. The constructor
// succeeds, because one leftover variable must not stop a program whose chain would continue.
func TestErrorNamesInvalidVariable(t *testing.T) {
	for name, test := range map[string]struct {
		env      map[string]string
		variable string
	}{
		"quotes":                            {map[string]string{"IDENTITY_ENDPOINT": `"http://localhost:1/token"`, "IDENTITY_HEADER": "canary"}, "IDENTITY_ENDPOINT"},
		"single quotes":                     {map[string]string{"IDENTITY_ENDPOINT": `'http://localhost:1/token'`, "IDENTITY_HEADER": "canary"}, "IDENTITY_ENDPOINT"},
		"a word":                            {map[string]string{"MSI_ENDPOINT": "test"}, "MSI_ENDPOINT"},
		"a port that is too large":          {map[string]string{"IDENTITY_ENDPOINT": "http://localhost:99999/token", "IDENTITY_HEADER": "canary"}, "IDENTITY_ENDPOINT"},
		"port 0":                            {map[string]string{"MSI_ENDPOINT": "http://localhost:0/token"}, "MSI_ENDPOINT"},
		"a variable of a shell":             {map[string]string{"MSI_ENDPOINT": "http://$HOST:4141/token"}, "MSI_ENDPOINT"},
		"a pattern":                         {map[string]string{"MSI_ENDPOINT": "http://*:4141/token"}, "MSI_ENDPOINT"},
		"a zero-width space":                {map[string]string{"MSI_ENDPOINT": "http://localhost\u200b:4141/token"}, "MSI_ENDPOINT"},
		"an escaped space":                  {map[string]string{"MSI_ENDPOINT": "http://local%20host/token"}, "MSI_ENDPOINT"},
		"an Arc agent at port 0":            {map[string]string{"IDENTITY_ENDPOINT": "http://localhost:0/token", "IMDS_ENDPOINT": "http://localhost:0"}, "IDENTITY_ENDPOINT"},
		"a host and a port":                 {map[string]string{"MSI_ENDPOINT": "localhost:50342"}, "MSI_ENDPOINT"},
		"another scheme":                    {map[string]string{"MSI_ENDPOINT": "unix:///run/msi.sock"}, "MSI_ENDPOINT"},
		"a template":                        {map[string]string{"IDENTITY_ENDPOINT": "${IDENTITY_ENDPOINT}", "IDENTITY_HEADER": "canary"}, "IDENTITY_ENDPOINT"},
		"a line end inside":                 {map[string]string{"IDENTITY_ENDPOINT": "http://localhost\n/token", "IDENTITY_HEADER": "canary"}, "IDENTITY_ENDPOINT"},
		"a header in two lines":             {map[string]string{"IDENTITY_ENDPOINT": "http://localhost/token", "IDENTITY_HEADER": "can\nary"}, "IDENTITY_HEADER"},
		"a thumbprint in quotes":            {map[string]string{"IDENTITY_ENDPOINT": "https://localhost/token", "IDENTITY_HEADER": "canary", "IDENTITY_SERVER_THUMBPRINT": `"` + strings.Repeat("0", 40) + `"`}, "IDENTITY_SERVER_THUMBPRINT"},
		"an Arc agent elsewhere":            {map[string]string{"IDENTITY_ENDPOINT": "http://10.0.0.4:40342/token", "IMDS_ENDPOINT": "http://10.0.0.4:40342"}, "IDENTITY_ENDPOINT"},
		"a secret with a control character": {map[string]string{"MSI_ENDPOINT": "http://localhost/token", "MSI_SECRET": "can\x7fary"}, "MSI_SECRET"},
	} {
		inBubble(t, name, test.env, func(t *testing.T) {
			start := time.Now()
			var log safeBuffer
			cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
				ArcKeyDirectory: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			require.NoError(t, err)
			_, err = token(t.Context(), cred)
			requireUnavailable(t, err)
			require.ErrorContains(t, err, test.variable+" ")
			require.Zero(t, time.Since(start))
			synctest.Wait()
			require.Contains(t, log.String(), test.variable)
			require.NotContains(t, err.Error()+log.String(), "canary")
		})
	}
}

// TestErrorNamesDecidingVariable checks that the error names the variables that selected the host, because
// leftover variables may select the wrong one.
func TestErrorNamesDecidingVariable(t *testing.T) {
	reasons := map[azhost.Source]string{
		azhost.SourceCloudShell: "MSI_ENDPOINT is set and MSI_SECRET is not",
		azhost.SourceAzureML:    "MSI_ENDPOINT and MSI_SECRET are set",
		azhost.SourceAppService: "IDENTITY_ENDPOINT and IDENTITY_HEADER are set",
		azhost.SourceAzureArc:   "IDENTITY_ENDPOINT and IMDS_ENDPOINT are set",
	}
	for source, reason := range reasons {
		env := maps.Clone(platforms[source])
		if source == azhost.SourceAzureArc {
			env = map[string]string{"IDENTITY_ENDPOINT": "http://localhost:40342/metadata/identity/oauth2/token", "IMDS_ENDPOINT": "http://localhost:40342"}
		}
		for name, host := range map[string]func(*http.Request) (*http.Response, error){
			"refused": refusedDial, "dropped": droppedDial, "reset": reset, "not found": answer(404, "404 page not found"), "failing": answer(500, ""),
			"rejected": answer(400, `{"error":{"code":"x","message":"no"}}`), "HTML": answer(200, "<html>"), "no token": answer(200, "{}"),
		} {
			inBubble(t, fmt.Sprint(source, ", ", name), env, func(t *testing.T) {
				cred := credential(t, always(host), func(o *azhost.ManagedIdentityCredentialOptions) { o.ArcKeyDirectory = t.TempDir() })
				require.Equal(t, source, cred.Source())
				_, err := token(t.Context(), cred)
				require.ErrorContains(t, err, "was chosen because "+reason)
				if source == azhost.SourceAzureArc {
					return
				}
				cred = credential(t, always(host), func(o *azhost.ManagedIdentityCredentialOptions) { o.Source = source })
				_, err = token(t.Context(), cred)
				require.Error(t, err)
				require.NotContains(t, err.Error(), "was chosen because", "the caller chose")
			})
		}
	}
}

// TestNoWarningForPlatformNetwork checks that no warning is logged for 100.64.0.0/10, where sidecars listen
// and which isn't routed elsewhere.
func TestNoWarningForPlatformNetwork(t *testing.T) {
	for endpoint, warned := range map[string]bool{
		"http://100.64.100.2:41580/MSI/token/": false,
		"http://100.127.255.254/token":         false,
		"http://169.254.129.4:8081/msi/token":  false,
		"http://localhost:4141/msi/token":      false,
		"http://[::1]:4141/msi/token":          false,
		"http://[fe80::1]:4141/msi/token":      false,
		"https://10.0.0.4/token":               false,
		"http://100.63.255.255/token":          true,
		"http://100.128.0.1/token":             true,
		"http://10.0.0.4/token":                true,
		"http://msi.example/token":             true,
	} {
		inBubble(t, endpoint, map[string]string{"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": "x"}, func(t *testing.T) {
			var log safeBuffer
			credential(t, always(goodToken), func(o *azhost.ManagedIdentityCredentialOptions) {
				o.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			synctest.Wait()
			require.Equal(t, warned, strings.Contains(log.String(), "others on the network could read the tokens"), log.String())
			require.Equal(t, warned, strings.Contains(log.String(), "level=WARN"), log.String())
		})
	}
}

// TestArcEndpointWithoutPath checks that the error has the complete URL.
func TestArcEndpointWithoutPath(t *testing.T) {
	const whole = "http://localhost:40342/metadata/identity/oauth2/token"
	for _, endpoint := range []string{"http://localhost:40342", "http://localhost:40342/", "http://127.0.0.1:40342", "http://[::1]:40342//"} {
		inBubble(t, endpoint, map[string]string{"IDENTITY_ENDPOINT": endpoint, "IMDS_ENDPOINT": "http://localhost:40342"}, func(t *testing.T) {
			w := always(answer(404, ""))
			cred := credential(t, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.ArcKeyDirectory = t.TempDir() })
			_, err := token(t.Context(), cred)
			requireUnavailable(t, err)
			require.ErrorContains(t, err, "IDENTITY_ENDPOINT")
			require.ErrorContains(t, err, whole)
			require.Zero(t, w.Requests())
			_, err = azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAzureArc, Endpoint: endpoint, ArcKeyDirectory: t.TempDir()})
			require.ErrorContains(t, err, whole, "the constructor returns the error of an option")
		})
	}
}

// TestInvalidID checks the constructor's errors. Any other word is valid, because tests use words as IDs.
func TestInvalidID(t *testing.T) {
	const guid = "00000000-0000-0000-0000-000000000001"
	const resource = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/me"
	for name, id := range map[string]azhost.ManagedIDKind{
		"a template": azhost.ClientID("${AZURE_CLIENT_ID}"), "a template inside": azhost.ResourceID("/subscriptions/${SUB}/x"),
		"a resource ID as client ID": azhost.ClientID(resource), "a resource ID as object ID": azhost.ObjectID(resource),
		"a GUID as resource ID": azhost.ResourceID(guid), "a GUID in braces as resource ID": azhost.ResourceID("{" + guid + "}"),
		"quotes": azhost.ClientID(`"` + guid + `"`), "single quotes": azhost.ObjectID("'" + guid + "'"), "a line end": azhost.ClientID(guid + "\n"),
		"a space in front": azhost.ObjectID(" " + guid), "a no-break space": azhost.ClientID("\u00a0" + guid), "a space inside": azhost.ResourceID("/subscriptions/a b"),
		"an empty client ID": azhost.ClientID(""), "an empty resource ID": azhost.ResourceID(""),
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			_, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{ID: id, Source: azhost.SourceIMDS})
			require.ErrorContains(t, err, " ID")
			_, ok := id.(azhost.ResourceID)
			if strings.Contains(name, " as ") {
				require.ErrorContains(t, err, map[bool]string{false: "Use ResourceID", true: "Use ClientID or ObjectID"}[ok])
			}
		})
	}
	for _, id := range []azhost.ManagedIDKind{
		azhost.ClientID("client-id"), azhost.ClientID(guid), azhost.ClientID(strings.ToUpper(guid)), azhost.ObjectID("x"), azhost.ResourceID(resource),
		azhost.ResourceID("resource-id"), azhost.ClientID("{" + guid + "}"), azhost.ClientID("$me"), azhost.ClientID("é"),
	} {
		inBubble(t, "allowed: "+id.String(), nil, func(t *testing.T) {
			_, err := token(t.Context(), credential(t, always(goodToken), func(o *azhost.ManagedIdentityCredentialOptions) { o.ID, o.Source = id, azhost.SourceIMDS }))
			require.NoError(t, err)
		})
	}
}
