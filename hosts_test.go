// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

func TestDetection(t *testing.T) {
	const arc = "http://localhost:40342/metadata/identity/oauth2/token"
	for _, test := range []struct {
		name string
		env  map[string]string
		want azhost.Source
		log  string
	}{
		{"nothing", nil, azhost.SourceIMDS, "no variable of another host is set"},
		{"Arc", map[string]string{"IDENTITY_ENDPOINT": arc, "IMDS_ENDPOINT": "http://localhost:40342"}, azhost.SourceAzureArc, "IDENTITY_ENDPOINT and IMDS_ENDPOINT are set"},
		{"App Service", map[string]string{"IDENTITY_ENDPOINT": arc, "IDENTITY_HEADER": "canary"}, azhost.SourceAppService, "IDENTITY_ENDPOINT and IDENTITY_HEADER are set"},
		{"Cloud Shell", map[string]string{"MSI_ENDPOINT": arc}, azhost.SourceCloudShell, "MSI_ENDPOINT is set and MSI_SECRET is not"},
		{"Azure ML", map[string]string{"MSI_ENDPOINT": arc, "MSI_SECRET": "canary"}, azhost.SourceAzureML, "MSI_ENDPOINT and MSI_SECRET are set"},
		{"half of App Service", map[string]string{"IDENTITY_HEADER": "canary"}, azhost.SourceIMDS, "IDENTITY_HEADER is set without IDENTITY_ENDPOINT"},
		{"half of Arc", map[string]string{"IMDS_ENDPOINT": "http://localhost:40342"}, azhost.SourceIMDS, "IMDS_ENDPOINT is set without IDENTITY_ENDPOINT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range hostVariables {
				t.Setenv(name, test.env[name])
			}
			var logged safeBuffer
			cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
				Logger: slog.New(slog.NewTextHandler(&logged, nil)), ArcKeyDirectory: t.TempDir(),
			})
			require.NoError(t, err)
			require.Equal(t, test.want, cred.Source())
			require.Contains(t, logged.String(), "source="+string(test.want))
			require.Contains(t, logged.String(), test.log)
			require.NotContains(t, logged.String(), "canary")
		})
	}
}

func TestErrorNamesHalfSetVariables(t *testing.T) {
	for _, name := range hostVariables {
		t.Setenv(name, "")
	}
	t.Setenv("IDENTITY_HEADER", "canary")
	cred := onVM(t, always(refusedDial))
	_, err := token(t.Context(), cred)
	requireUnavailable(t, err)
	require.ErrorContains(t, err, "IDENTITY_HEADER is set without IDENTITY_ENDPOINT")
	require.NotContains(t, err.Error(), "canary")
}

func TestSourcePinsTheHost(t *testing.T) {
	t.Setenv("MSI_ENDPOINT", "http://localhost:1") // would be Cloud Shell
	for _, source := range []azhost.Source{azhost.SourceIMDS, azhost.SourceAzureArc} {
		cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{Source: source, ArcKeyDirectory: t.TempDir()})
		require.NoError(t, err)
		require.Equal(t, source, cred.Source())
	}
}

func TestConstructorErrors(t *testing.T) {
	for _, test := range []struct {
		name    string
		options azhost.ManagedIdentityCredentialOptions
		want    string
	}{
		{"empty client ID", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("")}, "leave ID nil"},
		{"empty object ID", azhost.ManagedIdentityCredentialOptions{ID: azhost.ObjectID("")}, "leave ID nil"},
		{"empty resource ID", azhost.ManagedIdentityCredentialOptions{ID: azhost.ResourceID("")}, "leave ID nil"},
		{"client ID in quotes", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID(`"a"`)}, "contains white space or quotes"},
		{"client ID with a newline", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("a\n")}, "contains white space or quotes"},
		{"client ID in typographic quotes", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("“a”")}, "contains white space or quotes: '“'"},
		{"client ID in German quotes", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("„a“")}, "contains white space or quotes: '„'"},
		{"object ID with an acute accent for a quote", azhost.ManagedIdentityCredentialOptions{ID: azhost.ObjectID("a´")}, "contains white space or quotes: '´'"},
		{"client ID with a zero-width space", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("a\u200b")}, `contains white space or quotes: '\u200b'`},
		{"client ID with a byte order mark", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("\ufeffa")}, `contains white space or quotes: '\ufeff'`},
		{"client ID with a mark of direction", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("a\u200e")}, `contains white space or quotes: '\u200e'`},
		{"client ID with a soft hyphen", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("a\u00adb")}, `contains white space or quotes: '\u00ad'`},
		{"resource ID with a no-break space", azhost.ManagedIdentityCredentialOptions{ID: azhost.ResourceID("/a\u00a0b")}, `contains white space or quotes: '\u00a0'`},
		{"resource ID with an ideographic space", azhost.ManagedIdentityCredentialOptions{ID: azhost.ResourceID("/a\u3000b")}, `contains white space or quotes: '\u3000'`},
		{"client ID with a next-line character", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("a\u0085")}, `contains white space or quotes: '\u0085'`},
		{"client ID with a C1 control character", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("a\u009b")}, `contains white space or quotes: '\u009b'`},
		{"client ID that is not UTF-8", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("a\xff")}, `contains white space or quotes: '`},
		{"client ID from a template", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("${AZURE_CLIENT_ID}")}, "an unexpanded variable"},
		{"client ID that is a resource ID", azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("/subscriptions/s")}, "Use ResourceID"},
		{"object ID that is a resource ID", azhost.ManagedIdentityCredentialOptions{ID: azhost.ObjectID("/subscriptions/s")}, "Use ResourceID"},
		{"resource ID that is a client ID", azhost.ManagedIdentityCredentialOptions{ID: azhost.ResourceID("6a8a3b3e-6bd3-4f4e-8c1d-6f0f3f4a2d11")}, "is a GUID. Use ClientID or ObjectID"},
		{"a nil client", azhost.ManagedIdentityCredentialOptions{ClientOptions: azcore.ClientOptions{Transport: (*http.Client)(nil)}}, "Transport is a nil *http.Client"},
		{"unknown source", azhost.ManagedIdentityCredentialOptions{Source: "Mainframe"}, `unknown Source "Mainframe"`},
		{"negative timeout", azhost.ManagedIdentityCredentialOptions{ConnectTimeout: -time.Second}, "ConnectTimeout is negative: -1s"},
		{"relative key directory", azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAzureArc, ArcKeyDirectory: "tokens"}, "not an absolute path"},
		{"endpoint without scheme", azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: "169.254.169.254/metadata"}, "not an http or https URL"},
		{"endpoint that isn't a URL", azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: "http://[::1"}, "not a URL"},
		{"endpoint of a file", azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: "file:///etc/passwd"}, "not an http or https URL"},
		{"endpoint without host", azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: "http:///token"}, "has no host name"},
		{"endpoint with query", azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: "http://localhost/token?api-version=1"}, "query"},
		{"endpoint with user and another scheme", azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: "htps://u:canary@localhost/token"}, "user information"},
		{"endpoint with user and no scheme", azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: "u:canary@localhost/token"}, "user information"},
		{"endpoint with user", azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: "http://u:canary@localhost/token"}, "user information"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range hostVariables {
				t.Setenv(name, "")
			}
			cred, err := azhost.NewManagedIdentityCredential(&test.options)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), "canary")
			require.Nil(t, cred)
		})
	}
}

func TestArcEndpointMustBeLoopback(t *testing.T) {
	dir, err := filepath.Abs(t.TempDir())
	require.NoError(t, err)
	for endpoint, ok := range map[string]bool{
		"http://localhost:40342/x":       true,
		"http://LocalHost:40342/x":       true,
		"http://127.0.0.1:40342/x":       true,
		"http://127.8.8.8/x":             true,
		"https://[::1]:40342/x":          true,
		"http://[::ffff:127.0.0.1]/x":    true,
		"http://169.254.169.254/x":       false,
		"http://10.0.0.1:40342/x":        false,
		"http://localhost.example.com/x": false,
		"http://localhost./x":            false,
		"http://127.1/x":                 false,
		"http://2130706433/x":            false,
		"http://0.0.0.0:40342/x":         false,
		"http://[::]:40342/x":            false,
		"http://example.com/x":           false,
	} {
		t.Run(endpoint, func(t *testing.T) {
			_, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
				Source: azhost.SourceAzureArc, Endpoint: endpoint, ArcKeyDirectory: dir,
			})
			if ok {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "is not a loopback address")
			}
		})
	}
}
