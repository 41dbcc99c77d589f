// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/azhost/azhost"
)

// VM is a fake Azure VM: its Instance Metadata Service. Make one with [NewVM] or [ListenVM].
type VM struct{ Host }

const tokenPath = "/metadata/identity/oauth2/token"

// NewVM returns a VM that the test's cleanup closes. It listens when it is first asked for its
// endpoint.
func NewVM(t testing.TB) *VM {
	t.Helper()
	v, err := newVM()
	if err != nil {
		t.Fatalf("azhosttest: %v", err)
	}
	t.Cleanup(v.Close)
	return v
}

// ListenVM returns a VM that listens at addr, such as "127.0.0.1:0". Close ends it.
func ListenVM(addr string) (*VM, error) {
	v, err := newVM()
	if err != nil {
		return nil, err
	}
	return v, v.listen(addr)
}

func newVM() (*VM, error) {
	v := new(VM)
	v.respond = v.answerRequest
	return v, v.init(azhost.SourceIMDS, "169.254.169.254", tokenPath)
}

// Environment returns the variable that points a client to this VM. Only MSAL.NET and the
// JavaScript SDK honour it; others need the endpoint in their options.
func (v *VM) Environment() map[string]string {
	return map[string]string{"AZURE_POD_IDENTITY_AUTHORITY_HOST": strings.TrimSuffix(v.Endpoint(), tokenPath)}
}

// Setenv sets the VM's Environment for the duration of a test, and unsets other hosts' variables.
func (v *VM) Setenv(t testing.TB) {
	t.Helper()
	setenv(t, v.Environment())
}

func (v *VM) answerRequest(req *http.Request, entry *Request) (reply, string) {
	name, value, one := selected(entry.Query)
	selector := ""
	if name != "" {
		selector = name + "=" + value
	}
	r := v.checked(req, entry, one, name, value)
	r.header.Set("Server", "IMDS/150.870.65.1854")
	r.header.Set("X-Ms-Request-Id", guid(entry.Time.String()))
	return r, selector
}

func (v *VM) checked(req *http.Request, entry *Request, one bool, name, value string) reply {
	refuse := func(status int, code, text string) reply { return jsonFault(status, code, text).reply() }
	doubled := ""
	for parameter, values := range entry.Query {
		if len(values) > 1 {
			doubled = parameter
		}
	}
	version := entry.Query.Get("api-version")
	switch {
	case req.URL.Path != tokenPath:
		return refuse(http.StatusNotFound, "not_found", "There is nothing at this path")
	case req.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "method_not_allowed", "Only GET is supported")
	case req.Header.Get("Metadata") != "true":
		return refuse(http.StatusBadRequest, "bad_request_102", "Required metadata header not specified")
	case req.Header.Get("X-Forwarded-For") != "":
		return refuse(http.StatusBadRequest, "invalid_request", "Requests with X-Forwarded-For are refused")
	case doubled != "":
		return refuse(http.StatusBadRequest, "invalid_request", "The parameter "+doubled+" is given more than once")
	case version < "2018-02-01":
		r := refuse(http.StatusBadRequest, "", "")
		r.body = encode(map[string]any{"error": "Bad request. api-version was not specified or is not supported", "newest-versions": []string{"2025-04-07", "2023-11-15"}})
		return r
	case entry.Resource == "":
		return refuse(http.StatusBadRequest, "invalid_request", "Required query variable 'resource' is missing")
	case !one:
		return refuse(http.StatusBadRequest, "invalid_request", "More than one identity was selected")
	}
	id, ok := v.choose(name, value)
	switch {
	case ok && name != "":
		return v.success(entry.Resource, id, map[string]string{name: value})
	case ok:
		return v.success(entry.Resource, id, nil)
	case name == "" && v.several():
		return refuse(http.StatusBadRequest, "invalid_request", "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request")
	}
	return refuse(http.StatusBadRequest, "invalid_request", "Identity not found")
}

// choose picks the identity as IMDS does: without a selector the system-assigned one, else the
// only one there is.
func (v *VM) choose(name, value string) (Identity, bool) {
	if name != "" {
		return v.find(name, value)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, id := range v.identities {
		if id.ResourceID == "" {
			return id, true
		}
	}
	if len(v.identities) == 1 {
		return v.identities[0], true
	}
	return Identity{}, false
}

func (v *VM) several() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.identities) > 1
}
