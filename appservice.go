// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// appService is App Service. Functions, Container Apps, and Automation use the same protocol.
type appService struct{ platform }

func newAppService(in *setup) source {
	return &appService{newPlatform(in, protocol{
		apiVersion: "2019-08-01",
		resourceID: "mi_res_id", // App Service ignores msi_res_id and returns a token for another identity
	})}
}

// request implements [source]. Automation requires the Metadata header, which App Service ignores.
func (s *appService) request(ctx context.Context, w want) (*policy.Request, error) {
	return s.build(ctx, w.resource)
}
