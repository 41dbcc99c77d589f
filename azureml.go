// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"cmp"
	"context"
	"fmt"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/detect"
)

// azureML is Azure Machine Learning compute.
type azureML struct{ platform }

func checkAzureML(in *setup) error {
	if in.identity.kind != "" && in.identity.kind != byClientID && in.wrong == nil {
		return fmt.Errorf("ID selects by %s, but Azure ML selects identities by client ID only", in.identity.kind)
	}
	return nil
}

func newAzureML(in *setup) source {
	return &azureML{newPlatform(in, protocol{apiVersion: "2017-09-01"})}
}

// request implements [source]. Azure ML requires clientid, even if it is empty.
func (s *azureML) request(ctx context.Context, w want) (*policy.Request, error) {
	return s.ask(ctx, url.Values{
		"api-version": {s.apiVersion},
		"resource":    {w.resource},
		"clientid":    {cmp.Or(s.id, detect.Getenv("DEFAULT_IDENTITY_CLIENT_ID"))},
	})
}
