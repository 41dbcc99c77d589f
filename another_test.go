// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// TestErrorOfAnotherCredential: a policy or Transport that needs another credential's token returns its
// error. That says nothing about this host, and its text and cause are in this error.
func TestErrorOfAnotherCredential(t *testing.T) {
	for name, other := range map[string]func(*http.Request) (*http.Response, error){
		"refused connection": refusedDial,
		"silent":             droppedDial,
		"a refusal":          answer(403, "not you", "Server: IMDS/1.0"),
		"a foreign response": answer(200, "<html>"),
		"a redirect":         answer(302, "", "Location: http://elsewhere/"),
		"throttled":          answer(429, "", "Retry-After: 100"),
	} {
		for _, where := range []string{"Transport", "PerCallPolicies", "PerRetryPolicies"} {
			for _, source := range []azhost.Source{azhost.SourceIMDS, azhost.SourceAzureArc, azhost.SourceAppService} {
				inBubble(t, fmt.Sprint(name, " in ", where, " on ", source), platforms[source], func(t *testing.T) {
					proxy := onVM(t, always(other))
					_, cause := token(t.Context(), proxy)
					require.Error(t, cause)
					ask := func(context.Context) error {
						_, err := token(context.Background(), proxy)
						return fmt.Errorf("the proxy's token: %w", err)
					}
					w := always(func(req *http.Request) (*http.Response, error) {
						if where == "Transport" {
							return nil, ask(req.Context())
						}
						return goodToken(req)
					})
					cred := credential(t, w, withPolicy(where, func(req *policy.Request) (*http.Response, error) {
						return nil, ask(req.Raw().Context())
					}), func(o *azhost.ManagedIdentityCredentialOptions) {
						o.Source, o.ArcKeyDirectory = source, t.TempDir()
						if source == azhost.SourceIMDS {
							o.Endpoint = "http://169.254.169.254/metadata/identity/oauth2/token"
						}
					})
					_, err := token(t.Context(), cred)
					failed, ok := err.(*azhost.AuthenticationFailedError)
					require.True(t, ok, "%T: %v", err, err)
					require.ErrorContains(t, err, "the proxy's token: "+cause.Error())
					require.Nil(t, failed.RawResponse, "another host's response")
					require.LessOrEqual(t, w.Requests(), 1)
				})
			}
		}
	}
}
