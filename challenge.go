// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"runtime"

	"github.com/azhost/azhost/internal/challenge"
	"github.com/azhost/azhost/internal/keyfile"
)

// readKey returns the key that an Arc agent's challenge names. The agent writes keys to agentDir ("" if
// that is unknown). A container may have that directory mounted at mountedDir ("" if not). Another
// program may have sent the challenge, so the path must be a .key file directly in one of the two. The
// file is read from mountedDir if that is set.
func readKey(resp *http.Response, agentDir, mountedDir string) (string, error) {
	realm, err := challenge.Realm(resp.Header.Values("WWW-Authenticate"))
	if err != nil {
		return "", fmt.Errorf("the Arc agent's challenge is invalid: %w: %s", err, describeResponse(resp))
	}
	name, err := keyfile.Name(realm, agentDir, mountedDir)
	if err != nil {
		return "", fmt.Errorf("refusing to read the key file from the Arc agent's challenge: %w: %s. %s", err, describeResponse(resp), expected(agentDir, mountedDir))
	}
	// The agent names the file by its own path, even if a container mounts the directory elsewhere.
	dir := cmp.Or(mountedDir, agentDir)
	key, err := keyfile.Read(dir, name)
	if err != nil {
		return "", fmt.Errorf("cannot read the Arc agent's key: %w%s", err, remedy(runtime.GOOS, err, filepath.Join(dir, name), mountedDir != ""))
	}
	return key, nil
}

// expected returns a sentence that says which key files azhost reads.
func expected(agentDir, mountedDir string) string {
	return fmt.Sprintf("Only .key files in %.200q are allowed. Another program may be listening on the agent's port",
		cmp.Or(agentDir, mountedDir))
}

// remedy returns what to do about the key file at path, which could not be read on goos, as sentences to
// append.
func remedy(goos string, err error, path string, mounted bool) string {
	denied, missing := errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist)
	group := keyfile.Group(goos)
	if group == "" || !denied && !missing {
		return ""
	}
	who := ""
	if refusal := keyfile.Refusal(path); denied && refusal != "" {
		who = ": " + refusal
	}
	const inContainer = ". In a container: mount the directory that the agent writes its keys to and set ArcKeyDirectory"
	switch {
	case mounted && missing:
		return ". Mount the directory that the agent writes its keys to at ArcKeyDirectory"
	case mounted:
		return who + fmt.Sprintf(". Run the container as root or with the numeric ID of the host's group %q", group)
	case goos == "windows": // Windows may report the directory as missing to an account outside the group
		return who + fmt.Sprintf(". Run as an administrator, or add this account to the local group %q and sign in again. If this is a service, restart it", group) + inContainer
	case missing:
		return inContainer
	}
	return who + fmt.Sprintf(". Run as root, or add this user to the group %[1]s (sudo usermod -aG %[1]s USER) and log in again. If this is a service, restart it", group)
}
