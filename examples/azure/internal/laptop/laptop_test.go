// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// The fakes accept only valid tokens with the service's audience.
func TestTokensAreChecked(t *testing.T) {
	t.Parallel()
	const bearer, cosmos = "Bearer ", "type=aad&ver=1.0&sig="
	for _, service := range []struct {
		name, method, path, scheme, audience string
		start                                func() (*Service, error)
		status                               int    // of a request with a valid token
		challenge                            string // of the other requests
	}{
		{"Key Vault", "GET", "/secrets/greeting/?api-version=7.6", bearer, "https://vault.azure.net",
			func() (*Service, error) { return KeyVault(".vault.azure.net") }, 200, `resource="https://vault.azure.net"`},
		{"Resource Manager", "GET", "/subscriptions/" + Subscription + "/resourceGroups/" + Group + "?api-version=2016-06-01", bearer, "https://management.azure.com/",
			func() (*Service, error) { return ResourceManager(cloud.AzurePublic) }, 200, `authorization_uri="https://login.microsoftonline.com/`},
		{"Blob", "GET", "/" + Container + "/none", bearer, "https://storage.azure.com/", Blob, 404, "resource_id=https://storage.azure.com"},
		{"SAS", "GET", "/" + Container + "/none", bearer, "https://storage.azure.com/", SAS, 404, "resource_id=https://storage.azure.com"},
		{"Queue", "GET", "/" + QueueName + "/messages", bearer, "https://storage.azure.com/", Queue, 200, "resource_id=https://storage.azure.com"},
		{"Table", "GET", "/" + TableName + "(PartitionKey='a',RowKey='b')", bearer, "https://storage.azure.com/", Table, 404, "resource_id=https://storage.azure.com"},
		{"Data Lake", "GET", "/" + FileSystem + "?resource=filesystem", bearer, "https://storage.azure.com", DataLake, 200, "resource_id=https://storage.azure.com"},
		{"Data Lake Gen1", "GET", "/webhdfs/v1/?op=LISTSTATUS", bearer, "https://datalake.azure.net/", DataLakeGen1, 200, "Bearer authorization_uri="},
		{"OpenAI", "POST", "/openai/deployments/" + Deployment + "/chat/completions?api-version=2024-10-21", bearer, "https://cognitiveservices.azure.com", OpenAI, 400, ""},
		{"Cosmos DB", "GET", "/", cosmos, "https://laptop.documents.azure.com", Cosmos, 200, ""},
		{"App Configuration", "GET", "/kv/greeting?api-version=2023-10-01", bearer, "https://laptop.azconfig.io", AppConfig, 200, "HMAC-SHA256, Bearer"},
		{"Logs", "POST", "/dataCollectionRules/" + Rule + "/streams/Custom-Examples", bearer, "https://monitor.azure.com/", Logs, 400, ""},
	} {
		t.Run(service.name, func(t *testing.T) {
			t.Parallel()
			s, err := service.start()
			require.NoError(t, err)
			t.Cleanup(s.Close)
			valid := service.scheme + token(t, s.VM, service.audience)
			wrongAudience := service.scheme + token(t, s.VM, "https://graph.microsoft.com/")
			anotherVM := service.scheme + token(t, azhosttest.NewVM(t), service.audience)
			s.VM.SetTokenLifetime(-time.Second)
			expired := service.scheme + token(t, s.VM, service.audience)
			for _, row := range []struct {
				name, authorization string
				status              int
			}{
				{"valid", valid, service.status},
				{"none", "", 401},
				{"wrong scheme", "b" + valid[1:], 401},
				{"wrong audience", wrongAudience, 401},
				{"another VM", anotherVM, 401},
				{"expired", expired, 401},
			} {
				req, err := http.NewRequestWithContext(t.Context(), service.method, s.URL+service.path, nil)
				require.NoError(t, err)
				if row.authorization != "" {
					req.Header.Set("Authorization", row.authorization)
				}
				resp, err := s.Client.Transport.Do(req)
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, row.status, resp.StatusCode, row.name)
				switch challenge := resp.Header.Get("WWW-Authenticate"); {
				case row.status != 401:
				case service.challenge == "":
					require.Empty(t, challenge, row.name)
				default:
					require.Contains(t, challenge, service.challenge, row.name)
				}
			}
		})
	}
}

// The registry checks a token when the client exchanges it, and not in other requests.
func TestRegistryChecksTokens(t *testing.T) {
	t.Parallel()
	s, err := Registry()
	require.NoError(t, err)
	t.Cleanup(s.Close)
	valid := token(t, s.VM, "https://containerregistry.azure.net")
	wrongAudience := token(t, s.VM, "https://graph.microsoft.com/")
	anotherVM := token(t, azhosttest.NewVM(t), "https://containerregistry.azure.net")
	s.VM.SetTokenLifetime(-time.Second)
	expired := token(t, s.VM, "https://containerregistry.azure.net")
	client := &http.Client{Transport: s.Transport}
	for _, row := range []struct {
		name, service, token string
		status               int
	}{
		{"valid", "laptop.azurecr.io", valid, 200},
		{"another registry", "other.azurecr.io", valid, 400},
		{"none", "laptop.azurecr.io", "", 401},
		{"wrong audience", "laptop.azurecr.io", wrongAudience, 401},
		{"another VM", "laptop.azurecr.io", anotherVM, 401},
		{"expired", "laptop.azurecr.io", expired, 401},
	} {
		resp, err := client.PostForm(s.URL+"/oauth2/exchange", url.Values{
			"grant_type": {"access_token"}, "service": {row.service}, "access_token": {row.token},
		})
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, row.status, resp.StatusCode, row.name)
	}
	resp, err := client.Get(s.URL + "/acr/v1/samples%2Fhello/_tags")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, `Bearer realm="https://laptop.azurecr.io/oauth2/token",service="laptop.azurecr.io",scope="repository:samples/hello:metadata_read"`,
		resp.Header.Get("WWW-Authenticate"))
}

// token requests a token from a VM without azhost.
func token(t *testing.T, vm *azhosttest.VM, resource string) string {
	t.Helper()
	query := url.Values{"api-version": {"2018-02-01"}, "resource": {resource}}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://vm/metadata/identity/oauth2/token?"+query.Encode(), nil)
	require.NoError(t, err)
	req.Header.Set("Metadata", "true")
	resp, err := vm.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
	require.Equal(t, 2, strings.Count(answer.AccessToken, "."))
	return answer.AccessToken
}
