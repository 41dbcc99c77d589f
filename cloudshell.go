// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
)

// cloudShell is Azure Cloud Shell. Its tokens are for the signed-in user.
type cloudShell struct{ platform }

func checkCloudShell(in *setup) error {
	if in.identity.id != "" && in.wrong == nil {
		return errors.New("ID selects a user-assigned identity, but Cloud Shell has only its user's identity; leave ID nil")
	}
	return nil
}

func newCloudShell(in *setup) source {
	return &cloudShell{newPlatform(in, protocol{method: http.MethodPost})}
}

// request implements [source].
func (s *cloudShell) request(ctx context.Context, w want) (*policy.Request, error) {
	req, err := s.ask(ctx, nil)
	if err != nil {
		return nil, err
	}
	form := url.Values{"resource": {w.resource}}.Encode()
	if err := req.SetBody(streaming.NopCloser(strings.NewReader(form)), "application/x-www-form-urlencoded"); err != nil {
		return nil, s.failed(nil, err, "%v", err)
	}
	req.Raw().Header.Set("Metadata", "true")
	return req, nil
}
