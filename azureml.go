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

func newAzureML(in *setup) (source, error) {
	if in.identity.kind != "" && in.identity.kind != byClientID {
		return nil, fmt.Errorf("ID is a %s; Azure ML selects identities by client ID alone", in.identity.kind)
	}
	s := &azureML{platform{protocol: protocol{identity: in.identity, label: "Azure ML", apiVersion: "2017-09-01", log: in.options.Logger}}}
	s.advice = func(status int, _ tokenjson.Error) string {
		switch {
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			return "Is MSI_SECRET the one that the platform has given to this process?"
		case status != http.StatusBadRequest && status != http.StatusNotFound:
			return ""
		}
		return "Is the identity assigned to this compute, and does the resource exist in this tenant?"
	}
	return s, s.connect(in, platformRetry, "Secret")
}

// fetch asks Azure ML, which wants the client ID in any case, if only an empty one.
func (s *azureML) fetch(ctx context.Context, w want) (azcore.AccessToken, error) {
	req, err := s.ask(ctx, url.Values{
		"api-version": {s.apiVersion},
		"resource":    {w.resource},
		"clientid":    {cmp.Or(s.id, os.Getenv("DEFAULT_IDENTITY_CLIENT_ID"))},
	})
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return s.send(ctx, req)
}
