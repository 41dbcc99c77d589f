// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"bytes"
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// keyFile is the file with a key, and when a challenge last named it.
type keyFile struct {
	path      string
	named     time.Time
	forgotten bool // the agent has restarted since
}

// KeyFault is a failure of the key files of an [Arc]. To name a file in another directory, use
// [Arc.SetChallenge].
type KeyFault int

// The faults of key files.
const (
	KeyGood       KeyFault = iota // the file is as it should be
	KeyMissing                    // the file doesn't exist
	KeyEmpty                      // the file is empty
	KeyUnreadable                 // the file has mode 0; has no effect for root or on Windows
	KeyTooLarge                   // the file has 4,097 bytes, one more than clients accept
	KeyLate                       // the file appears with the next challenge, which names it again
)

// KeyDirectory returns the directory that the agent writes its key files to.
func (a *Arc) KeyDirectory() string { return a.keys }

// SetKeyLifetime sets how long a key is valid after its challenge. The default is 60 seconds.
func (a *Arc) SetKeyLifetime(d time.Duration) { a.set(func() { a.keyLife = d }) }

// SetKeyFault makes every key file from now on fail in one way, until SetKeyFault(KeyGood).
func (a *Arc) SetKeyFault(f KeyFault) { a.set(func() { a.keyFault, a.late = f, "" }) }

// SetChallenge replaces the WWW-Authenticate values of challenges with those that f returns. The agent
// writes the key file in any case. Calls of f may be concurrent. Nil restores the normal challenge.
func (a *Arc) SetChallenge(f func(keyPath string) []string) { a.set(func() { a.realm = f }) }

// RefuseKeys rejects the next n valid keys with another challenge.
func (a *Arc) RefuseKeys(n int) { a.set(func() { a.refuse = n }) }

// Restart makes the agent forget its challenges, so that it rejects their keys.
func (a *Arc) Restart() {
	a.set(func() {
		for key, file := range a.outstanding {
			file.forgotten = true
			a.outstanding[key] = file
		}
		a.late = ""
	})
}

// redeem reports whether a key is valid, and invalidates it.
func (a *Arc) redeem(key string, now time.Time) bool {
	a.mu.Lock()
	file, ok := a.outstanding[key]
	delete(a.outstanding, key)
	good := ok && !file.forgotten && now.Sub(file.named) <= a.keyLife
	if good && a.refuse > 0 {
		a.refuse--
		good = false
	}
	a.mu.Unlock()
	if ok {
		_ = os.Remove(file.path)
	}
	return good
}

// challenge writes a key file and returns a challenge that names it.
func (a *Arc) challenge(now time.Time) reply {
	a.mu.Lock()
	var expired []string
	for key, file := range a.outstanding { // of exchanges that no client completed
		if key != a.late && now.Sub(file.named) > a.keyLife {
			delete(a.outstanding, key)
			expired = append(expired, file.path)
		}
	}
	fault, realm := a.keyFault, a.realm
	key, path, appears := rand.Text(), filepath.Join(a.keys, guid(rand.Text())+".key"), fault != KeyMissing
	if fault == KeyLate {
		if a.late == "" {
			a.late, appears = key, false
		} else {
			key, path, a.late = a.late, a.outstanding[a.late].path, ""
		}
	}
	a.outstanding[key] = keyFile{path: path, named: now}
	a.mu.Unlock()

	for _, old := range expired {
		_ = os.Remove(old)
	}
	content, mode := []byte(key), os.FileMode(0o640)
	switch fault {
	case KeyEmpty:
		content = nil
	case KeyUnreadable:
		mode = 0
	case KeyTooLarge:
		content = bytes.Repeat([]byte("x"), 4097)
	}
	if appears {
		if err := writeKey(path, content, mode); err != nil {
			return jsonReply(http.StatusInternalServerError, "internal_error", "The key file could not be written: "+err.Error())
		}
	}
	values := []string{"Basic realm=" + path}
	if realm != nil {
		values = realm(path)
	}
	return reply{status: http.StatusUnauthorized, header: http.Header{"Www-Authenticate": values}}
}

// writeKey creates a file with all of its content at once.
func writeKey(path string, content []byte, mode os.FileMode) error {
	whole := path + ".new"
	if err := os.WriteFile(whole, content, 0o600); err != nil {
		return err
	}
	if err := os.Chmod(whole, mode); err != nil {
		return err
	}
	return os.Rename(whole, path)
}

// removeKeys removes the files of unused keys.
func (a *Arc) removeKeys() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, file := range a.outstanding {
		delete(a.outstanding, key)
		_ = os.Remove(file.path)
	}
}
