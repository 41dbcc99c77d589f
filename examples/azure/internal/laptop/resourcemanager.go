// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	_ "github.com/Azure/azure-sdk-for-go/sdk/azcore/arm/runtime" // fills in cloud.ResourceManager
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

// The account and the key that [ResourceManager] signs with. They are public: every storage emulator
// has them.
const (
	Account    = "devstoreaccount1"
	accountKey = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// The fake subscription, and its only resource group.
const (
	Subscription = "aaaa0a0a-bb1b-cc2c-dd3d-eeeeee4e4e4e"
	Group        = "DevTest"
)

// ResourceManager starts the Resource Manager of a cloud.
func ResourceManager(c cloud.Configuration) (*Service, error) {
	s, err := start(c.Services[cloud.ResourceManager].Endpoint, func(vm *azhosttest.VM) http.Handler {
		return resourceManager(vm, c)
	})
	if err != nil {
		return nil, err
	}
	s.target = Subscription
	return s, nil
}

// resourceManager returns a handler that has the resource group, and a storage account in it.
func resourceManager(vm *azhosttest.VM, c cloud.Configuration) http.Handler {
	const group = "/subscriptions/" + Subscription + "/resourceGroups/" + Group
	endpoint := c.Services[cloud.ResourceManager].Endpoint
	mux := http.NewServeMux()
	getGroup := func(w http.ResponseWriter, r *http.Request) {
		fake.WriteJSON(w, http.StatusOK, map[string]any{
			"id": group, "name": Group, "type": "Microsoft.Resources/resourceGroups",
			"location": "westus", "properties": map[string]any{"provisioningState": "Succeeded"},
		})
	}
	mux.HandleFunc("GET "+group, getGroup)
	// Resource Manager ignores the case of "resourceGroups", which armresources writes in lower case.
	mux.HandleFunc("GET "+strings.Replace(group, "resourceGroups", "resourcegroups", 1), getGroup)
	mux.HandleFunc("POST "+group+"/providers/Microsoft.Storage/storageAccounts/"+Account+"/listServiceSas/{$}", listServiceSAS)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusNotFound, "ResourceNotFound", "The resource '"+r.URL.Path+"' was not found.")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := caller(vm, r, c.Services[cloud.ResourceManager].Audience, endpoint+"/"); err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="`+tenant()+`", error="invalid_token"`)
			writeError(w, http.StatusUnauthorized, "InvalidAuthenticationToken", err.Error())
			return
		}
		if r.URL.Query().Get("api-version") == "" {
			writeError(w, http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// listServiceSAS signs the requested permissions with the account's key.
func listServiceSAS(w http.ResponseWriter, r *http.Request) {
	var p struct {
		CanonicalizedResource, SignedResource, SignedPermission, SignedProtocol string
		SignedExpiry                                                            time.Time
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&p); err != nil {
		writeError(w, http.StatusBadRequest, "InvalidRequestContent", err.Error())
		return
	}
	container, ok := strings.CutPrefix(p.CanonicalizedResource, "/blob/"+Account+"/")
	if !ok || p.SignedResource != "c" || p.SignedProtocol != "https" {
		writeError(w, http.StatusBadRequest, "InvalidValuesForRequestParameters", "Values for request parameters are invalid.")
		return
	}
	token, err := sign(sas.BlobSignatureValues{
		ContainerName: container, Permissions: p.SignedPermission, Protocol: sas.ProtocolHTTPS, ExpiryTime: p.SignedExpiry,
	})
	if err != nil {
		writeError(w, http.StatusBadRequest, "InvalidValuesForRequestParameters", err.Error())
		return
	}
	fake.WriteJSON(w, http.StatusOK, map[string]any{"serviceSasToken": token.Encode()})
}

func sign(v sas.BlobSignatureValues) (sas.QueryParameters, error) {
	key, err := azblob.NewSharedKeyCredential(Account, accountKey)
	if err != nil {
		return sas.QueryParameters{}, err
	}
	return v.SignWithSharedKey(key)
}
