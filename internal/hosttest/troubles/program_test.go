// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

// programTroubles returns the failures that a program causes.
func programTroubles() map[string]*trouble {
	selected := func(id azhost.ManagedIDKind) *trouble {
		return here(options(azhost.ManagedIdentityCredentialOptions{ID: id}))
	}
	return map[string]*trouble{
		"is empty. For the system-assigned identity, leave ID nil": selected(azhost.ClientID("")),
		"contains an unexpanded variable":                          selected(azhost.ClientID("${AZURE_CLIENT_ID}")),
		"contains white space or quotes":                           selected(azhost.ResourceID(`"/subscriptions/s"`)),
		"contains a slash. Use ResourceID for a resource ID":       selected(azhost.ClientID("/subscriptions/s")),
		"is a GUID. Use ClientID or ObjectID":                      selected(azhost.ResourceID("00000000-0000-0000-0000-000000000001")),
		"ConnectTimeout is negative":                               here(options(azhost.ManagedIdentityCredentialOptions{ConnectTimeout: -1})),
		"unknown Source":                                           here(options(azhost.ManagedIdentityCredentialOptions{Source: "Mainframe"})),
		`ArcKeyDirectory "keys" is not an absolute path`:           here(options(azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAzureArc, ArcKeyDirectory: "keys"})),
		"is not a loopback address. Use localhost or a loopback address, because azhost sends the Arc agent's key there": here(endpoint(azhost.SourceAzureArc, "http://10.0.0.4/x")),
		"is not a URL":                         here(endpoint(azhost.SourceIMDS, "http://[::1")),
		"is not an http or https URL":          here(endpoint(azhost.SourceIMDS, "localhost:80")),
		"has no host name":                     here(endpoint(azhost.SourceIMDS, "http:///x")),
		"contains user information. Remove it": here(endpoint(azhost.SourceIMDS, "http://me@localhost/")),
		"its host name or port is invalid":     here(endpoint(azhost.SourceIMDS, "http://localhost:99999/")),
		"has a query or fragment":              here(endpoint(azhost.SourceIMDS, "http://localhost/?a=b")),
		"Transport is a nil *http.Client": here(func(*occasion) error {
			var opts azhost.ManagedIdentityCredentialOptions
			opts.Transport = (*http.Client)(nil)
			_, err := azhost.NewManagedIdentityCredential(&opts)
			return err
		}),

		"GetToken requires exactly one scope":                       here(scoped()),
		"has no resource":                                           here(scoped("/.default")),
		"at most 2048 are accepted":                                 here(scoped(strings.Repeat("s", 2049))),
		"contains white space, control characters or invalid UTF-8": here(scoped("https://vault.azure.net\n")),
		"GetToken was called with a nil context": here(func(o *occasion) error {
			var none context.Context
			_, err := token(none, onVM(o.T, always(goodToken)))
			return err
		}),
		"GetToken was called by a policy or Transport of its own token request": here(func(o *occasion) error {
			var cred *azhost.ManagedIdentityCredential
			var inner error
			cred = onVM(o.T, always(goodToken), func(opts *azhost.ManagedIdentityCredentialOptions) {
				opts.PerRetryPolicies = []policy.Policy{policyFunc(func(req *policy.Request) (*http.Response, error) {
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
		"a policy returned neither a response nor an error": here(func(o *occasion) error {
			_, err := token(o.Context(), onVM(o.T, always(goodToken), func(opts *azhost.ManagedIdentityCredentialOptions) {
				opts.PerCallPolicies = []policy.Policy{policyFunc(func(*policy.Request) (*http.Response, error) { return nil, nil })}
			}))
			return err
		}),
		"the Transport returned neither a response nor an error": here(by(transporter(func(*http.Request) (*http.Response, error) { return nil, nil }))),
		"panic in the caller's context, tracer or UnavailableError": here(func(o *occasion) error {
			return ask(o, onVM(o.T, always(refusedDial), func(opts *azhost.ManagedIdentityCredentialOptions) {
				opts.UnavailableError = func(string) error { panic("mine") }
			}))
		}),
	}
}
