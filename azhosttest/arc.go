// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/azhost/azhost"
)

// Arc is a fake Azure Arc-enabled server: its agent, himds, and the directory of its keys. Make
// one with [NewArc] or [ListenArc].
type Arc struct {
	Host
	keyDirectory string
	ownDirectory bool // Close removes it

	// Guarded by Host.mu.
	outstanding map[string]keyFile // by key
	keyLife     time.Duration
	keyFault    KeyFault
	realm       func(path string) []string
	refuse      int
	old         bool
	late        *lateKey
}

// keyFile is where a key is, and when it was named in a challenge.
type keyFile struct {
	path  string
	named time.Time
}

// lateKey is a key whose file does not exist yet.
type lateKey struct{ path, key string }

// KeyFault is what is wrong with the key files of an [Arc].
type KeyFault int

// The faults of key files.
const (
	KeyGood       KeyFault = iota
	KeyMissing             // there is no file
	KeyEmpty               // the file is empty
	KeyUnreadable          // the file's mode is 0
	KeyTooLarge            // the file has 4,097 bytes
	KeyLate                // the file appears with the next challenge, which names it again
)

// NewArc returns an Arc server whose keys are in a temporary directory of the test, and that the
// test's cleanup closes.
func NewArc(t testing.TB) *Arc {
	t.Helper()
	a, err := newArc(t.TempDir())
	if err != nil {
		t.Fatalf("azhosttest: %v", err)
	}
	t.Cleanup(a.Close)
	return a
}

// ListenArc returns an Arc server that listens at addr, such as "127.0.0.1:0", and writes its keys
// to keyDirectory; "" means a temporary directory, which Close removes.
func ListenArc(addr, keyDirectory string) (*Arc, error) {
	own := keyDirectory == ""
	if own {
		var err error
		if keyDirectory, err = os.MkdirTemp("", "azhosttest"); err != nil {
			return nil, err
		}
	}
	a, err := newArc(keyDirectory)
	if err != nil {
		return nil, err
	}
	a.ownDirectory = own
	if err := a.listen(addr); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func newArc(keyDirectory string) (*Arc, error) {
	keyDirectory, err := filepath.Abs(keyDirectory)
	if err != nil {
		return nil, err
	}
	a := &Arc{keyDirectory: keyDirectory, outstanding: map[string]keyFile{}, keyLife: time.Minute}
	a.respond = a.answerRequest
	return a, a.init(azhost.SourceAzureArc, "127.0.0.1:40342", tokenPath)
}

// Close ends the host and removes its temporary key directory.
func (a *Arc) Close() {
	a.Host.Close()
	if a.ownDirectory {
		_ = os.RemoveAll(a.keyDirectory)
	}
}

// KeyDirectory is where the agent writes its keys.
func (a *Arc) KeyDirectory() string { return a.keyDirectory }

// Options is [Host.Options] with the agent's key directory.
func (a *Arc) Options() *azhost.ManagedIdentityCredentialOptions {
	o := a.Host.Options()
	o.ArcKeyDirectory = a.keyDirectory
	return o
}

// InMemory is [Host.InMemory] with the agent's key directory; the key files are real.
func (a *Arc) InMemory() *azhost.ManagedIdentityCredentialOptions {
	o := a.Host.InMemory()
	o.ArcKeyDirectory = a.keyDirectory
	return o
}

// Environment returns the variables that the agent's installer sets. A client also needs to know
// the key directory, which only azhost can be told.
func (a *Arc) Environment() map[string]string {
	endpoint := a.Endpoint()
	return map[string]string{"IDENTITY_ENDPOINT": endpoint, "IMDS_ENDPOINT": strings.TrimSuffix(endpoint, tokenPath)}
}

// Setenv sets the Environment for the duration of a test, and unsets other hosts' variables.
func (a *Arc) Setenv(t testing.TB) {
	t.Helper()
	setenv(t, a.Environment())
}

// KeyLifetime sets how long a key is good for after its challenge; 60 s to begin with.
func (a *Arc) KeyLifetime(d time.Duration) { a.set(func() { a.keyLife = d }) }

// KeyFault makes something wrong with every key file from now on; KeyGood ends that.
func (a *Arc) KeyFault(f KeyFault) { a.set(func() { a.keyFault = f }) }

// Challenge replaces the WWW-Authenticate values of the challenges. A nil f ends that.
func (a *Arc) Challenge(f func(keyPath string) []string) { a.set(func() { a.realm = f }) }

// RefuseKeys refuses the next n keys, good as they are, with another challenge.
func (a *Arc) RefuseKeys(n int) { a.set(func() { a.refuse = n }) }

// OldAgent makes the agent ignore selectors, as those do that know system-assigned identities only.
func (a *Arc) OldAgent(old bool) { a.set(func() { a.old = old }) }

// Restart makes the agent forget the keys of the challenges under way.
func (a *Arc) Restart() { a.set(func() { clear(a.outstanding) }) }

func (a *Arc) answerRequest(req *http.Request, entry *Request) (reply, string) {
	name, value, one := selected(entry.Query)
	selector := ""
	if name != "" {
		selector = name + "=" + value
	}
	refuse := func(status int, code, text string) (reply, string) {
		return jsonFault(status, code, text).reply(), selector
	}
	switch {
	case req.URL.Path != tokenPath:
		return refuse(http.StatusNotFound, "not_found", "There is nothing at this path")
	case req.Method != http.MethodGet:
		return refuse(http.StatusMethodNotAllowed, "method_not_allowed", "Only GET is supported")
	case req.Header.Get("Metadata") != "true":
		return refuse(http.StatusBadRequest, "invalid_request", "Required metadata header not specified")
	case entry.Query.Get("api-version") < "2019-11-01":
		return refuse(http.StatusBadRequest, "invalid_request", "Unknown api-version")
	case entry.Resource == "" || !one:
		return refuse(http.StatusBadRequest, "invalid_request", "One resource and at most one identity must be given")
	}
	if key, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Basic "); !ok || !a.redeem(key, entry.Time) {
		r, err := a.challenge(entry.Time)
		if err != nil {
			return refuse(http.StatusInternalServerError, "internal_error", "The key file could not be written")
		}
		return r, selector
	}
	a.mu.Lock()
	old, ids := a.old, a.identities
	a.mu.Unlock()
	if name == "" || old {
		for _, id := range ids {
			if id.ResourceID == "" {
				return a.success(entry.Resource, id, nil), selector
			}
		}
		return refuse(http.StatusNotFound, "identity_not_found", "Identity not found")
	}
	id, ok := a.find(name, value)
	if !ok {
		r, _ := refuse(http.StatusNotFound, "", "")
		r.body = encode(map[string]any{"error": "identity_not_found", "error_description": "Identity not found: " + value, "error_codes": []int{404}})
		return r, selector
	}
	return a.success(entry.Resource, id, map[string]string{name: value}), selector
}

// redeem reports whether a key is good, and makes it good for nothing.
func (a *Arc) redeem(key string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	file, ok := a.outstanding[key]
	if !ok {
		return false
	}
	delete(a.outstanding, key)
	_ = os.Remove(file.path)
	if a.refuse > 0 {
		a.refuse--
		return false
	}
	return now.Sub(file.named) <= a.keyLife
}

// challenge writes a key file and names it.
func (a *Arc) challenge(now time.Time) (reply, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, file := range a.outstanding { // of exchanges that nobody completed
		if now.Sub(file.named) > a.keyLife {
			delete(a.outstanding, key)
			_ = os.Remove(file.path)
		}
	}
	key, path := rand.Text(), filepath.Join(a.keyDirectory, guid(rand.Text())+".key")
	content, mode := []byte(key), os.FileMode(0o640)
	write := true
	switch a.keyFault {
	case KeyMissing:
		write = false
	case KeyEmpty:
		content = nil
	case KeyUnreadable:
		mode = 0
	case KeyTooLarge:
		content = bytes.Repeat([]byte("x"), 4097)
	case KeyLate:
		if a.late == nil {
			a.late, write = &lateKey{path, key}, false
		} else {
			path, key, content = a.late.path, a.late.key, []byte(a.late.key)
			a.late = nil
		}
	}
	a.outstanding[key] = keyFile{path, now}
	if write {
		if err := writeKey(path, content, mode); err != nil {
			return reply{}, err
		}
	}
	values := []string{"Basic realm=" + path}
	if a.realm != nil {
		values = a.realm(path)
	}
	return reply{status: http.StatusUnauthorized, header: http.Header{"Www-Authenticate": values}}, nil
}

// writeKey lets a file appear with all of its content.
func writeKey(path string, content []byte, mode os.FileMode) error {
	whole := path + ".new"
	if err := os.WriteFile(whole, content, 0o600); err != nil {
		return fmt.Errorf("azhosttest: %w", err)
	}
	if err := os.Chmod(whole, mode); err != nil {
		return fmt.Errorf("azhosttest: %w", err)
	}
	return os.Rename(whole, path)
}
