// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/azhost/azhost/internal/tokenjson"
)

// cloudShell is Azure Cloud Shell, whose token is that of the user who is signed in.
type cloudShell struct{ platform }

func newCloudShell(in *setup) (source, error) {
	if err := in.identity.systemOnly("Cloud Shell has the identity of its user alone"); err != nil {
		return nil, err
	}
	s := &cloudShell{platform{protocol: protocol{identity: in.identity, label: "Cloud Shell", method: http.MethodPost, log: in.options.Logger}}}
	s.advice = func(_ int, e tokenjson.Error) string {
		if e.Code == "AudienceNotSupported" {
			return "Cloud Shell has tokens for some resources only; check the scope, its slashes included"
		}
		return ""
	}
	return s, s.connect(in, platformRetry, "")
}

// fetch asks Cloud Shell.
func (s *cloudShell) fetch(ctx context.Context, w want) (azcore.AccessToken, error) {
	req, err := s.ask(ctx, nil)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	form := url.Values{"resource": {w.resource}}.Encode()
	if err := req.SetBody(streaming.NopCloser(strings.NewReader(form)), "application/x-www-form-urlencoded"); err != nil {
		return azcore.AccessToken{}, s.failed(nil, err, "%v", err)
	}
	req.Raw().Header.Set("Metadata", "true")
	return s.send(ctx, req)
}
