// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Refusal says which element of path denies access to this process, with the element's mode, owner, and
// group, and the user and groups of the process, such as
//
//	/var/opt/azcmagent (mode 0700, owner root, group root) denies access to uid 1000 (user app, groups app and himds)
//
// Call it with the path of a key file, or of the key directory, that could not be opened because of missing
// permissions. It looks at the path again, but only at metadata, and may ask the system's user database.
// Outside Unix, it names only the element.
func Refusal(path string) string {
	element, info := denying(path)
	label := element
	if info == nil || !info.IsDir() {
		label = "the key file in " + filepath.Dir(element) // with its name, the text would differ each time
	}
	return label + permissions(info) + " denies access to " + caller()
}

// denying returns the first directory on the way to path that this process may not search, or else path
// itself, and its metadata. Links on the way are followed, as when path is opened.
func denying(path string) (string, fs.FileInfo) {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err == nil {
		path = filepath.Join(dir, filepath.Base(path))
		_, err = os.Lstat(path)
	}
	// If an element's metadata can't be read, this process may not search its directory.
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok && errors.Is(err, fs.ErrPermission) {
		path = filepath.Dir(pathErr.Path)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return path, nil
	}
	return path, info
}
