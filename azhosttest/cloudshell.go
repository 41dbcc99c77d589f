// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/azhost/azhost"
)

// CloudShell is a fake Azure Cloud Shell. Make one with [NewCloudShell] or [ListenCloudShell].
//
// Its tokens are those of the signed-in user, which the [SystemAssigned] identity represents. It
// ignores selectors. The parameters are in the body, so [Request] has them in Form. The real Cloud
// Shell supports only some audiences; use AllowResources to limit them.
type CloudShell struct{ Host }

// NewCloudShell returns a Cloud Shell that is closed when the test ends. It starts listening when its
// address is first needed.
func NewCloudShell(t testing.TB) *CloudShell {
	t.Helper()
	c, err := newCloudShell(t)
	return closedBy(t, c, err)
}

// ListenCloudShell returns a Cloud Shell that listens at addr, such as "127.0.0.1:0", for programs
// other than tests. Call Close when done.
func ListenCloudShell(addr string) (*CloudShell, error) {
	return listening(addr, newCloudShell)
}

func newCloudShell(t testing.TB) (*CloudShell, error) {
	c := &CloudShell{Host{
		source:  azhost.SourceCloudShell,
		address: "localhost:50342",
		path:    "/oauth2/token",
		local:   true,
		form:    true,
		refuse:  objectReply,
		unknown: func() reply {
			return objectReply(http.StatusBadRequest, "AudienceNotSupported", "This audience is not a supported MSI token audience.")
		},
		subject: person,
		shape:   func(fields map[string]any) { delete(fields, "client_id") },
		environment: func(endpoint string, _ settings) map[string]string {
			return map[string]string{"MSI_ENDPOINT": endpoint}
		},
	}}
	c.respond = c.shell
	return c, c.init(t)
}

// shell responds as Cloud Shell does.
func (c *CloudShell) shell(req *http.Request, r *Request, s settings) reply {
	refuse := func(text string) reply { return objectReply(http.StatusBadRequest, "BadRequest", text) }
	switch {
	case r.Path != c.path:
		return objectReply(http.StatusNotFound, "NotFound", "There is nothing at this path")
	case r.Method != http.MethodPost:
		return objectReply(http.StatusMethodNotAllowed, "MethodNotAllowed", "Only POST is supported")
	case !slices.Equal(req.Header.Values("Metadata"), []string{"true"}):
		return refuse("Required metadata header not specified")
	case r.Form == nil:
		return refuse("The body is not of type application/x-www-form-urlencoded")
	case r.Resource == "":
		return refuse("Required parameter 'resource' is missing in the body")
	}
	if id, ok := system(s.identities); ok {
		return c.success(s, r.Resource, id, "")
	}
	return refuse("No user is signed in")
}

// person changes the claims to those of a signed-in user.
func person(claims map[string]any) {
	delete(claims, "xms_mirid")
	delete(claims, "idp")
	claims["idtyp"], claims["appidacr"] = "user", "0"
	claims["scp"], claims["name"], claims["upn"] = "user_impersonation", "Fake User", "user@fake.example"
}

// objectReply returns an error in the form of Cloud Shell and Azure ML, where "error" is an object.
func objectReply(status int, code, message string) reply {
	return reply{status: status, header: http.Header{"Content-Type": {jsonType}},
		body: encode(map[string]any{"error": map[string]any{"code": code, "message": message}})}
}
