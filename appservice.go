// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/azhost/azhost/internal/tokenjson"
)

// appService is App Service, with Functions, Container Apps and Automation, which speak as it does.
type appService struct{ platform }

func newAppService(in *setup) (source, error) {
	s := &appService{platform{protocol: protocol{
		identity: in.identity, label: "App Service", apiVersion: "2019-08-01", log: in.options.Logger,
		resourceID: "mi_res_id", // msi_res_id is ignored here, and the answer for another identity
	}}}
	s.advice = func(status int, _ tokenjson.Error) string {
		switch {
		case status == http.StatusInternalServerError:
			return "App Service answers so when Microsoft Entra does not know the resource; check the scope, its slashes included"
		case status == http.StatusUnauthorized || status == http.StatusForbidden:
			return "Is IDENTITY_HEADER the one that the platform has given to this process?"
		case status != http.StatusBadRequest && status != http.StatusNotFound:
			return ""
		case in.identity.id != "":
			return fmt.Sprintf("Is the user-assigned identity with %s %q assigned to this app?", in.identity.kind, in.identity.id)
		}
		return "Does this app have a system-assigned identity? Enable it, or assign a user-assigned one and set ID"
	}
	return s, s.connect(in, platformRetry, "X-IDENTITY-HEADER")
}

// fetch asks App Service. Of the platforms that speak as it does, Automation wants the Metadata header.
func (s *appService) fetch(ctx context.Context, w want) (azcore.AccessToken, error) {
	req, err := s.build(ctx, w.resource)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return s.send(ctx, req)
}
