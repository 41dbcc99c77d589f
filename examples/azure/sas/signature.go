// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"net/http"
	"path"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/azhost/azhost"
)

// listServiceSAS requests a SAS from Resource Manager. Until expiry, the SAS can read, create, and write the
// blobs of a container over HTTPS. account is the account's resource ID, which is case-sensitive. On Azure,
// machine can be nil and options zero.
func listServiceSAS(ctx context.Context, account, container string, expiry time.Time,
	machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (string, error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return "", err
	}
	client, err := arm.NewClient("sas", "v1.0.0", cred, &arm.ClientOptions{ClientOptions: options})
	if err != nil {
		return "", err
	}
	req, err := runtime.NewRequest(ctx, http.MethodPost, client.Endpoint()+account+"/listServiceSas/?api-version=2017-06-01")
	if err != nil {
		return "", err
	}
	if err := runtime.MarshalAsJSON(req, map[string]string{
		"canonicalizedResource": "/blob/" + path.Base(account) + "/" + container,
		"signedResource":        "c",   // a container
		"signedPermission":      "rcw", // read, create, write; the service requires this order
		"signedProtocol":        "https",
		"signedExpiry":          expiry.UTC().Format(time.RFC3339),
	}); err != nil {
		return "", err
	}
	resp, err := client.Pipeline().Do(req)
	if err != nil {
		return "", err
	}
	if !runtime.HasStatusCode(resp, http.StatusOK) {
		return "", runtime.NewResponseError(resp)
	}
	var answer struct {
		ServiceSASToken string `json:"serviceSasToken"`
	}
	if err := runtime.UnmarshalAsJSON(resp, &answer); err != nil {
		return "", err
	}
	if answer.ServiceSASToken == "" {
		return "", errors.New("the response from Resource Manager has no serviceSasToken")
	}
	return answer.ServiceSASToken, nil
}
