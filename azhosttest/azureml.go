// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/azhost/azhost"
)

// AzureML is a fake Azure Machine Learning compute. Make one with [NewAzureML] or [ListenAzureML].
//
// Every request must have a clientid, which is empty for the system-assigned identity. Without a
// system-assigned identity, Environment sets DEFAULT_IDENTITY_CLIENT_ID to the first user-assigned
// identity, for clients to send.
type AzureML struct{ Host }

// NewAzureML returns an Azure ML compute that is closed when the test ends. It starts listening when
// its address is first needed.
func NewAzureML(t testing.TB) *AzureML {
	t.Helper()
	a, err := newAzureML(t)
	return closedBy(t, a, err)
}

// ListenAzureML returns an Azure ML compute that listens at addr, such as "127.0.0.1:0", for
// programs other than tests. Call Close when done.
func ListenAzureML(addr string) (*AzureML, error) {
	return listening(addr, newAzureML)
}

func newAzureML(t testing.TB) (*AzureML, error) {
	a := &AzureML{Host{
		source:    azhost.SourceAzureML,
		address:   "127.0.0.1:46808",
		path:      "/MSI/auth",
		selectors: []string{"clientid"},
		machine:   resourceGroup() + "/providers/Microsoft.MachineLearningServices/workspaces/fake/computes/fake",
		refuse:    objectReply,
		unknown: func() reply {
			return objectReply(http.StatusBadRequest, "UserError", "AADSTS50001: The resource principal was not found in the tenant.")
		},
		shape: func(fields map[string]any) {
			withoutDurations(fields)
			fields["expires_on"] = json.Number(fields["expires_on"].(string))
		},
		environment: func(endpoint string, s settings) map[string]string {
			variables := map[string]string{"MSI_ENDPOINT": endpoint, "MSI_SECRET": s.secret}
			if _, ok := system(s.identities); !ok && len(s.identities) > 0 {
				variables["DEFAULT_IDENTITY_CLIENT_ID"] = s.identities[0].ClientID
			}
			return variables
		},
	}}
	a.respond = a.compute
	return a, a.init(t)
}

// compute responds as an Azure ML compute does.
func (a *AzureML) compute(req *http.Request, r *Request, s settings) reply {
	refuse := func(text string) reply { return objectReply(http.StatusBadRequest, "UserError", text) }
	switch {
	case r.Path != a.path:
		return objectReply(http.StatusNotFound, "NotFound", "There is nothing at this path")
	case r.Method != http.MethodGet:
		return objectReply(http.StatusMethodNotAllowed, "MethodNotAllowed", "Only GET is supported")
	case !proven(req, "Secret", s):
		return objectReply(http.StatusUnauthorized, "Unauthorized", "The header secret is missing or wrong")
	case r.Query.Get("api-version") != "2017-09-01":
		return refuse("api-version was not specified or is not supported")
	case r.Resource == "":
		return refuse("Required query variable 'resource' is missing")
	case !r.Query.Has("clientid"):
		return refuse("Required query variable 'clientid' is missing")
	}
	id, ok := system(s.identities)
	if r.Selector != "" {
		id, ok = find(s.identities, r.Selector)
	}
	if !ok {
		return refuse("Identity not found")
	}
	return a.success(s, r.Resource, id, "")
}
