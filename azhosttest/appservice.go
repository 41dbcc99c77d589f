// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"crypto/rand"
	"crypto/subtle"
	"net/http"
	"testing"

	"github.com/azhost/azhost"
)

// AppService is a fake App Service: the token endpoint of a web app, which Functions, Container Apps,
// and Automation have as well. Make one with [NewAppService] or [ListenAppService].
//
// Without a selector, it uses only the system-assigned identity. Unlike a VM, App Service never falls
// back to the only user-assigned identity. It ignores msi_res_id.
type AppService struct{ Host }

// NewAppService returns an App Service that is closed when the test ends. It starts listening when its
// address is first needed.
func NewAppService(t testing.TB) *AppService {
	t.Helper()
	a, err := newAppService(t)
	return closedBy(t, a, err)
}

// ListenAppService returns an App Service that listens at addr, such as "127.0.0.1:0", for programs
// other than tests. Call Close when done.
func ListenAppService(addr string) (*AppService, error) {
	return listening(addr, newAppService)
}

func newAppService(t testing.TB) (*AppService, error) {
	a := &AppService{Host{
		source:    azhost.SourceAppService,
		address:   "127.0.0.1:41741",
		path:      "/msi/token",
		selectors: []string{"client_id", "object_id", "principal_id", "mi_res_id"},
		machine:   resourceGroup() + "/providers/Microsoft.Web/sites/fake",
		refuse:    statusReply,
		unknown: func() reply { // App Service gives no reason
			return statusReply(http.StatusInternalServerError, "", "An unexpected error occurred")
		},
		shape: withoutDurations,
		environment: func(endpoint string, s settings) map[string]string {
			return map[string]string{"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": s.secret}
		},
	}}
	a.respond = a.msi
	return a, a.init(t)
}

// RotateHeader replaces the secret, as App Service may at any time. Requests with the old secret get
// status 401, and [Host.Environment] returns the new secret. Call [Host.Setenv] again to give it to
// the program.
func (a *AppService) RotateHeader() { a.set(func() { a.settings.secret = rand.Text() }) }

// msi responds as App Service does.
func (a *AppService) msi(req *http.Request, r *Request, s settings) reply {
	refuse := func(text string) reply { return statusReply(http.StatusBadRequest, "", text) }
	selected := a.selected(r.Query)
	switch {
	case r.Path != a.path:
		return statusReply(http.StatusNotFound, "", "There is nothing at this path")
	case r.Method != http.MethodGet:
		return statusReply(http.StatusMethodNotAllowed, "", "Only GET is supported")
	case !proven(req, "X-Identity-Header", s):
		return statusReply(http.StatusUnauthorized, "", "The header X-IDENTITY-HEADER is missing or wrong")
	case !knownVersion(r.Query.Get("api-version"), "2019-08-01"):
		return refuse("api-version was not specified or is not supported")
	case r.Resource == "":
		return refuse("Required query variable 'resource' is missing")
	case len(selected) > 1:
		return refuse("More than one identity was selected")
	case len(selected) == 1:
		if id, ok := find(s.identities, selected[0]); ok {
			return a.success(s, r.Resource, id, "")
		}
		return refuse("No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.")
	}
	if id, ok := system(s.identities); ok {
		return a.success(s, r.Resource, id, "")
	}
	return refuse("No Managed Identity found for the app")
}

// statusReply returns an error in App Service's form, which has no code.
func statusReply(status int, _, message string) reply {
	return reply{status: status, header: http.Header{"Content-Type": {jsonType}},
		body: encode(map[string]any{"statusCode": status, "message": message})}
}

// proven reports whether a request has exactly one such header and its value is the host's secret.
func proven(req *http.Request, header string, s settings) bool {
	values := req.Header.Values(header)
	return len(values) == 1 && subtle.ConstantTimeCompare([]byte(values[0]), []byte(s.secret)) == 1
}

// withoutDurations removes the fields that only IMDS and hosts modeled on it send.
func withoutDurations(fields map[string]any) {
	for _, name := range []string{"expires_in", "ext_expires_in", "not_before"} {
		delete(fields, name)
	}
}
