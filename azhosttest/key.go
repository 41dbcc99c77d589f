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

// keyFile is where a key is, and when it was last named in a challenge.
type keyFile struct {
	path      string
	named     time.Time
	forgotten bool // the agent has restarted since
}

// KeyFault is what is wrong with the key files of an [Arc]. For a file that is elsewhere, see
// [Arc.SetChallenge].
type KeyFault int

// The faults of key files.
const (
	KeyGood       KeyFault = iota // nothing is
	KeyMissing                    // there is no file
	KeyEmpty                      // the file is empty
	KeyUnreadable                 // the file's mode is 0, which keeps out neither root nor, on Windows, anybody
	KeyTooLarge                   // the file has 4,097 bytes, one more than clients accept
	KeyLate                       // the file appears with the next challenge, which names it again
)

// KeyDirectory is where the agent writes its keys.
func (a *Arc) KeyDirectory() string { return a.keys }

// SetKeyLifetime sets how long a key is good for after its challenge; 60 s to begin with.
func (a *Arc) SetKeyLifetime(d time.Duration) { a.set(func() { a.keyLife = d }) }

// SetKeyFault makes something wrong with every key file from now on; KeyGood ends that.
func (a *Arc) SetKeyFault(f KeyFault) { a.set(func() { a.keyFault, a.late = f, "" }) }

// SetChallenge replaces the WWW-Authenticate values of the challenges; the key file is written all
// the same. It may be called from several goroutines at once. A nil f ends that.
func (a *Arc) SetChallenge(f func(keyPath string) []string) { a.set(func() { a.realm = f }) }

// RefuseKeys refuses the next n keys, good as they are, with another challenge.
func (a *Arc) RefuseKeys(n int) { a.set(func() { a.refuse = n }) }

// Restart makes the agent forget the challenges under way: their keys are refused.
func (a *Arc) Restart() {
	a.set(func() {
		for key, file := range a.outstanding {
			file.forgotten = true
			a.outstanding[key] = file
		}
		a.late = ""
	})
}

// redeem reports whether a key is good, and makes it good for nothing.
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

// challenge writes a key file and names it.
func (a *Arc) challenge(now time.Time) reply {
	a.mu.Lock()
	var expired []string
	for key, file := range a.outstanding { // of exchanges that nobody completed
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

// writeKey lets a file appear with all of its content.
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

// removeKeys removes the files of the keys that nobody has used.
func (a *Arc) removeKeys() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, file := range a.outstanding {
		delete(a.outstanding, key)
		_ = os.Remove(file.path)
	}
}
