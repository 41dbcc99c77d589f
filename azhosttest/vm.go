// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/azhost/azhost"
)

// VM is a fake Azure VM: its Instance Metadata Service, IMDS. Make one with [NewVM] or [ListenVM].
type VM struct{ Host }

// imdsServer is the Server header of IMDS, with a version seen in the field.
const imdsServer = "IMDS/150.870.65.1854"

// NewVM returns a VM that is closed when the test ends. It starts listening when its address is first
// needed.
func NewVM(t testing.TB) *VM {
	t.Helper()
	v, err := newVM(t)
	return closedBy(t, v, err)
}

// ListenVM returns a VM that listens at addr, such as "127.0.0.1:0", for programs other than tests.
// Call Close when done.
func ListenVM(addr string) (*VM, error) {
	return listening(addr, newVM)
}

func newVM(t testing.TB) (*VM, error) {
	v := &VM{Host{
		source:    azhost.SourceIMDS,
		address:   "169.254.169.254",
		path:      tokenPath,
		selectors: []string{"client_id", "object_id", "msi_res_id", "mi_res_id"},
		machine:   resourceGroup() + "/providers/Microsoft.Compute/virtualMachines/fake",
		server:    imdsServer,
		refuse:    jsonReply,
		unknown:   InvalidResource().reply,
		environment: func(endpoint string, _ settings) map[string]string {
			return map[string]string{"AZURE_POD_IDENTITY_AUTHORITY_HOST": strings.TrimSuffix(endpoint, tokenPath)}
		},
	}}
	v.respond = v.imds
	return v, v.init(t)
}

// Setenv fails the test, because no variable points azhost or azidentity to a fake VM. They would send their
// requests to the real 169.254.169.254.
func (v *VM) Setenv(t testing.TB) {
	t.Helper()
	t.Fatal("azhosttest: no environment variable leads azhost to a fake VM; " +
		"pass Options or InMemory to the credential, or use NewAppService, whose Setenv works for every client")
}

// imds responds as IMDS does.
func (v *VM) imds(req *http.Request, r *Request, s settings) reply {
	refuse := func(text string) reply { return jsonReply(http.StatusBadRequest, "invalid_request", text) }
	selected := v.selected(r.Query)
	doubled := ""
	for _, name := range slices.Sorted(maps.Keys(r.Query)) {
		if len(r.Query[name]) > 1 && doubled == "" {
			doubled = name
		}
	}
	switch {
	case r.Path != tokenPath:
		return notFound()
	case r.Method != http.MethodGet:
		return notAllowed()
	case !slices.Equal(req.Header.Values("Metadata"), []string{"true"}):
		return jsonReply(http.StatusBadRequest, "bad_request_102", "Required metadata header not specified")
	case len(req.Header.Values("X-Forwarded-For")) > 0:
		return refuse("Requests with X-Forwarded-For are refused")
	case doubled != "":
		return refuse("The parameter " + doubled + " is given more than once")
	case !knownVersion(r.Query.Get("api-version"), "2018-02-01"):
		refused := refuse("")
		refused.body = encode(map[string]any{
			"error":           "Bad request. api-version was not specified or is not supported",
			"newest-versions": []string{"2025-04-07", "2023-11-15", "2023-07-01"},
		})
		return refused
	case r.Resource == "":
		return refuse("Required query variable 'resource' is missing")
	case len(selected) > 1:
		return refuse("More than one identity was selected")
	case len(selected) == 1:
		if id, ok := find(s.identities, selected[0]); ok {
			return v.success(s, r.Resource, id, selected[0])
		}
		return refuse("Identity not found")
	}
	// Without a selector, IMDS uses the system-assigned identity, or else the only identity.
	if id, ok := system(s.identities); ok {
		return v.success(s, r.Resource, id, "")
	}
	switch len(s.identities) {
	case 0:
		return refuse("Identity not found")
	case 1:
		return v.success(s, r.Resource, s.identities[0], "")
	}
	return refuse("Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request")
}

func notFound() reply {
	return jsonReply(http.StatusNotFound, "not_found", "There is nothing at this path")
}

func notAllowed() reply {
	return jsonReply(http.StatusMethodNotAllowed, "method_not_allowed", "Only GET is supported")
}

// knownVersion reports whether an api-version is a date and not before oldest.
func knownVersion(version, oldest string) bool {
	_, err := time.Parse(time.DateOnly, version)
	return err == nil && version >= oldest
}
