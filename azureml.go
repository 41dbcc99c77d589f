// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost/internal/tokenjson"
)

// azureML is Azure Machine Learning compute.
type azureML struct{ platform }

func newAzureML(o *ManagedIdentityCredentialOptions, who identity, gate *gate) (*azureML, *azcore.Client, error) {
	if who.kind != "" && who.kind != byClientID {
		return nil, nil, fmt.Errorf("ID is a %s; Azure ML selects identities by client ID alone", who.kind)
	}
	o.Retry = withDefaults(o.Retry, platformRetry)
	s := &azureML{platform{protocol: protocol{identity: who, label: "Azure ML", apiVersion: "2017-09-01", log: o.Logger}}}
	s.advice = func(status int, _ tokenjson.Error) string {
		switch {
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			return "Is MSI_SECRET the one that the platform has given to this process?"
		case status != http.StatusBadRequest && status != http.StatusNotFound:
			return ""
		}
		return "Is the identity assigned to this compute, and does the resource exist in this tenant?"
	}
	err := s.connect(o, gate, "Secret")
	return s, s.client, err
}

// fetch asks Azure ML, which wants the client ID in any case, if only an empty one.
func (s *azureML) fetch(ctx context.Context, resource, _ string) (azcore.AccessToken, error) {
	req, err := s.ask(ctx, url.Values{
		"api-version": {s.apiVersion},
		"resource":    {resource},
		"clientid":    {cmp.Or(s.id, os.Getenv("DEFAULT_IDENTITY_CLIENT_ID"))},
	})
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return s.send(ctx, req)
}
