// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/azhost/azhost"
)

// listServiceSAS is what to copy: it asks Resource Manager for a signature that allows to read,
// create and write the blobs of a container, over https alone, until expiry. The account is its
// resource ID, whose case matters. A nil machine is the one that the program runs on.
func listServiceSAS(ctx context.Context, account, container string, expiry time.Time, machine *azhost.ManagedIdentityCredentialOptions, options azcore.ClientOptions) (string, error) {
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
		"signedPermission":      "rcw", // read, create, write, in this order
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
		return "", errors.New("the answer of Resource Manager has no serviceSasToken")
	}
	return answer.ServiceSASToken, nil
}

// upAndDown uploads a blob with the signature, which is a secret, and downloads it again.
func upAndDown(ctx context.Context, containerURL, signature, name string, content []byte, options azcore.ClientOptions) (_ []byte, err error) {
	defer func() {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // u's own text has the URL, and so the signature
		}
	}()
	client, err := container.NewClientWithNoCredential(containerURL+"?"+signature, &container.ClientOptions{ClientOptions: options})
	if err != nil {
		return nil, err
	}
	blob := client.NewBlockBlobClient(name)
	if _, err := blob.UploadBuffer(ctx, content, nil); err != nil {
		return nil, err
	}
	resp, err := blob.DownloadStream(ctx, nil)
	if err != nil {
		return nil, err
	}
	body := resp.NewRetryReader(ctx, nil)
	defer body.Close()
	return io.ReadAll(body)
}
