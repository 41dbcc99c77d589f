// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/azhost/azhost"
)

// Arc is a fake Azure Arc-enabled server: its agent, himds, and the directory of its key files. Make one with
// [NewArc] or [ListenArc]. Every token takes two requests: the agent responds to the first with a challenge
// that names a key file, and the second proves that the client can read it. A key works once, within 60
// seconds.
type Arc struct {
	Host

	temporary bool // the key directory is a new one, which no client knows

	// The fields below are guarded by Host.mu.

	outstanding map[string]keyFile // by key
	keyLife     time.Duration
	keyFault    KeyFault
	realm       func(keyPath string) []string
	refuse      int
	old         bool
	late        string // the key whose file appears with the next challenge
}

// NewArc returns an Arc server that is closed when the test ends. Its key files are in a temporary
// directory of the test. It starts listening when its address is first needed.
func NewArc(t testing.TB) *Arc {
	t.Helper()
	a, err := newArc(t, t.TempDir())
	if err == nil {
		a.temporary = true
	}
	return closedBy(t, a, err)
}

// ListenArc returns an Arc server that listens at addr, such as "127.0.0.1:0", for programs other
// than tests. It writes its key files to keyDirectory, which it creates if necessary, or if that is
// empty, to a temporary directory that Close removes. Call Close when done.
func ListenArc(addr, keyDirectory string) (*Arc, error) {
	temporary := keyDirectory == ""
	var err error
	if temporary {
		keyDirectory, err = os.MkdirTemp("", "azhosttest")
	} else {
		err = os.MkdirAll(keyDirectory, 0o750)
	}
	if err != nil {
		return nil, fmt.Errorf("azhosttest: %w", err)
	}
	a, err := newArc(nil, keyDirectory)
	if err == nil {
		err = a.listenAt(addr)
	}
	remove := func() { _ = os.RemoveAll(keyDirectory) }
	switch {
	case err != nil && temporary:
		remove()
		fallthrough
	case err != nil:
		return nil, err
	case temporary:
		a.temporary, a.atClose = true, remove
	}
	return a, nil
}

func newArc(t testing.TB, keyDirectory string) (*Arc, error) {
	keyDirectory, err := filepath.Abs(keyDirectory)
	if err != nil {
		return nil, err
	}
	a := &Arc{
		Host: Host{
			source:    azhost.SourceAzureArc,
			address:   "127.0.0.1:40342",
			path:      tokenPath,
			selectors: []string{"client_id", "object_id", "msi_res_id"}, // mi_res_id is ignored
			machine:   resourceGroup() + "/providers/Microsoft.HybridCompute/machines/fake",
			keys:      keyDirectory,
			refuse:    jsonReply,
			unknown:   InvalidResource().reply,
			shape:     func(fields map[string]any) { delete(fields, "client_id") },
			environment: func(endpoint string, _ settings) map[string]string {
				return map[string]string{"IDENTITY_ENDPOINT": endpoint, "IMDS_ENDPOINT": strings.TrimSuffix(endpoint, tokenPath)}
			},
		},
		outstanding: map[string]keyFile{},
		keyLife:     time.Minute,
	}
	a.respond, a.atClose = a.himds, a.removeKeys
	return a, a.init(t)
}

// Setenv is [Host.Setenv] for a host made with [ListenArc] and a key directory that the client
// already uses, such as the agent's own. Otherwise it fails the test, because no variable tells a
// client where the key files are.
func (a *Arc) Setenv(t testing.TB) {
	t.Helper()
	if !a.temporary {
		a.Host.Setenv(t)
		return
	}
	t.Fatal("azhosttest: no environment variable tells azhost where a fake Arc agent's key files are; " +
		"pass Options or InMemory to the credential, or use NewAppService, whose Setenv works for every client")
}

// IgnoreSelectors sets whether the agent ignores selectors and always uses the system-assigned
// identity, as old agents do.
func (a *Arc) IgnoreSelectors(old bool) { a.set(func() { a.old = old }) }

// himds responds as the agent does.
func (a *Arc) himds(req *http.Request, r *Request, s settings) reply {
	refuse := func(text string) reply { return jsonReply(http.StatusBadRequest, "invalid_request", text) }
	selected := a.selected(r.Query)
	switch {
	case r.Path != tokenPath:
		return notFound()
	case r.Method != http.MethodGet:
		return notAllowed()
	case !slices.Equal(req.Header.Values("Metadata"), []string{"true"}):
		return refuse("Required metadata header not specified")
	case !knownVersion(r.Query.Get("api-version"), "2019-11-01"):
		return refuse("api-version was not specified or is not supported")
	case r.Resource == "":
		return refuse("Required query variable 'resource' is missing")
	case len(selected) > 1:
		return refuse("More than one identity was selected")
	}
	key, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Basic ")
	if !ok || !a.redeem(key, r.Time) {
		return a.challenge(r.Time)
	}
	a.mu.Lock()
	old := a.old
	a.mu.Unlock()
	if len(selected) == 0 || old {
		if id, ok := system(s.identities); ok {
			return a.success(s, r.Resource, id, "")
		}
		return identityNotFound("the system-assigned identity")
	}
	if id, ok := find(s.identities, selected[0]); ok {
		return a.success(s, r.Resource, id, selected[0])
	}
	return identityNotFound(selected[0])
}

func identityNotFound(who string) reply {
	r := notFound()
	r.body = encode(map[string]any{
		"error": "identity_not_found", "error_description": "Identity not found: " + who, "error_codes": []int{http.StatusNotFound},
	})
	return r
}
