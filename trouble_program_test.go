// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

// programTroubles are what a program does wrong.
func programTroubles() map[string]*trouble {
	selected := func(id azhost.ManagedIDKind) *trouble {
		return here(options(azhost.ManagedIdentityCredentialOptions{ID: id}))
	}
	return map[string]*trouble{
		"in ID is empty; for the system-assigned identity, leave ID nil": selected(azhost.ClientID("")),
		"in ID has a variable that was not expanded":                     selected(azhost.ClientID("${AZURE_CLIENT_ID}")),
		"in ID has white space or quotes":                                selected(azhost.ResourceID(`"/subscriptions/s"`)),
		"in ID has a slash; use ResourceID for a resource ID":            selected(azhost.ClientID("/subscriptions/s")),
		"in ID is a GUID; use ClientID or ObjectID":                      selected(azhost.ResourceID("00000000-0000-0000-0000-000000000001")),
		"negative ConnectTimeout":                                        here(options(azhost.ManagedIdentityCredentialOptions{ConnectTimeout: -1})),
		"unknown Source":                                                 here(options(azhost.ManagedIdentityCredentialOptions{Source: "Mainframe"})),
		`ArcKeyDirectory "keys" is not an absolute path`:                 here(options(azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAzureArc, ArcKeyDirectory: "keys"})),
		"is not on this machine. The Arc agent is asked at localhost or a loopback address only, because the key is sent there": here(endpoint(azhost.SourceAzureArc, "http://10.0.0.4/x")),
		"is not a URL":                here(endpoint(azhost.SourceIMDS, "http://[::1")),
		"is not an http or https URL": here(endpoint(azhost.SourceIMDS, "localhost:80")),
		"names no host":               here(endpoint(azhost.SourceIMDS, "http:///x")),
		"has user information, which a token endpoint does not take": here(endpoint(azhost.SourceIMDS, "http://me@localhost/")),
		"has a query or fragment":                                    here(endpoint(azhost.SourceIMDS, "http://localhost/?a=b")),
		"the *http.Client in Transport is nil": here(func(*occasion) error {
			var opts azhost.ManagedIdentityCredentialOptions
			opts.Transport = (*http.Client)(nil)
			_, err := azhost.NewManagedIdentityCredential(&opts)
			return err
		}),

		"GetToken requires exactly one scope":                       here(scoped()),
		"names no resource":                                         here(scoped("/.default")),
		"at most 2048 are accepted":                                 here(scoped(strings.Repeat("s", 2049))),
		"contains white space, control characters or invalid UTF-8": here(scoped("https://vault.azure.net\n")),
		"GetToken was called with a nil context": here(func(o *occasion) error {
			var none context.Context
			_, err := token(none, onVM(o.T, always(goodToken)))
			return err
		}),
		"GetToken was called by a policy or Transport of the request for a token": here(func(o *occasion) error {
			var cred *azhost.ManagedIdentityCredential
			var inner error
			cred = onVM(o.T, always(goodToken), func(opts *azhost.ManagedIdentityCredentialOptions) {
				opts.PerRetryPolicies = []policy.Policy{each(func(req *policy.Request) (*http.Response, error) {
					_, inner = token(req.Raw().Context(), cred)
					return req.Next()
				})}
			})
			if _, err := token(o.Context(), cred); err != nil {
				return err
			}
			return inner
		}),
		"a policy or Transport panicked": here(by(transporter(func(*http.Request) (*http.Response, error) { panic("mine") }))),
		"a policy or Transport ended the goroutine of the request": here(by(transporter(func(*http.Request) (*http.Response, error) {
			runtime.Goexit()
			return nil, io.EOF
		}))),
		"the Transport returned neither a response nor an error": here(by(transporter(func(*http.Request) (*http.Response, error) { return nil, nil }))),
		"panic in the caller's context, tracer or UnavailableError": here(func(o *occasion) error {
			return ask(o, onVM(o.T, always(refusedDial), func(opts *azhost.ManagedIdentityCredentialOptions) {
				opts.UnavailableError = func(string) error { panic("mine") }
			}))
		}),
	}
}
