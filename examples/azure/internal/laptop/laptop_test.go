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

// The fakes let in who has the right token, and nobody else.
func TestTokensAreChecked(t *testing.T) {
	t.Parallel()
	for _, service := range []struct {
		name, path, audience string
		start                func() (*Service, error)
		status               int // of a request with a good token
		challenge            string
	}{
		{"Key Vault", "/secrets/greeting/?api-version=7.6", "https://vault.azure.net",
			func() (*Service, error) { return KeyVault(".vault.azure.net") }, 200, `resource="https://vault.azure.net"`},
		{"Resource Manager", "/subscriptions/" + Subscription + "/resourceGroups/" + Group + "?api-version=2016-06-01", "https://management.azure.com/",
			func() (*Service, error) { return ResourceManager(cloud.AzurePublic) }, 200, `authorization_uri="https://login.microsoftonline.com/`},
		{"Blob", "/" + Container + "/none", "https://storage.azure.com/", Blob, 404, "resource_id=https://storage.azure.com"},
		{"SAS", "/" + Container + "/none", "https://storage.azure.com/", SAS, 404, "resource_id=https://storage.azure.com"},
		{"Data Lake", "/" + FileSystem + "?resource=filesystem", "https://storage.azure.com", DataLake, 200, "resource_id=https://storage.azure.com"},
		{"Data Lake Gen1", "/webhdfs/v1/?op=LISTSTATUS", "https://datalake.azure.net/", DataLakeGen1, 200, "Bearer authorization_uri="},
	} {
		t.Run(service.name, func(t *testing.T) {
			t.Parallel()
			s, err := service.start()
			require.NoError(t, err)
			t.Cleanup(s.Close)
			good := "Bearer " + token(t, s.VM, service.audience)
			other := "Bearer " + token(t, s.VM, "https://graph.microsoft.com/")
			stranger := "Bearer " + token(t, azhosttest.NewVM(t), service.audience)
			s.VM.SetTokenLifetime(-time.Second)
			expired := "Bearer " + token(t, s.VM, service.audience)
			for _, row := range []struct {
				name, authorization string
				status              int
			}{
				{"good", good, service.status},
				{"none", "", 401},
				{"small b", "b" + good[1:], 401},
				{"wrong audience", other, 401},
				{"another machine's", stranger, 401},
				{"expired", expired, 401},
			} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+service.path, nil)
				require.NoError(t, err)
				if row.authorization != "" {
					req.Header.Set("Authorization", row.authorization)
				}
				resp, err := s.Client.Transport.Do(req)
				require.NoError(t, err)
				resp.Body.Close()
				require.Equal(t, row.status, resp.StatusCode, row.name)
				if row.status == 401 {
					require.Contains(t, resp.Header.Get("WWW-Authenticate"), service.challenge, row.name)
				}
			}
		})
	}
}

// token asks a VM as a program without a library would.
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
