// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strings"
)

// refusedError says which element of a path this user has no access to.
type refusedError struct {
	path, mode string // the element and, on Unix, its mode, owner, and group
	user       string
	err        error
}

func (e *refusedError) Error() string {
	text := e.path
	if e.mode != "" {
		text += " (" + e.mode + ")"
	}
	return text + " refuses access to user " + e.user
}

func (e *refusedError) Unwrap() error { return e.err }

// root reports whether the user is root, who has access to everything outside user namespaces.
func (e *refusedError) root() bool { return strings.HasSuffix(e.user, "(uid 0)") }

// readable checks that this user may read key files in a directory. If not, the error is a
// [*refusedError] or matches [fs.ErrNotExist].
func readable(dir string) error {
	d, err := os.Open(dir)
	if err == nil {
		defer d.Close()
		if _, err = d.Readdirnames(1); err == nil || errors.Is(err, io.EOF) {
			return nil
		}
	}
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	refusing := dir
	for path := filepath.Clean(dir); path != filepath.Dir(path); path = filepath.Dir(path) {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrPermission) {
			break
		}
		refusing = filepath.Dir(path)
	}
	if _, err := os.Stat(filepath.Join(dir, "azhost.key")); refusing == dir && runtime.GOOS != "windows" && errors.Is(err, fs.ErrNotExist) {
		return nil // keys are opened by name, so not being allowed to list them does not matter
	}
	return &refusedError{refusing, ownership(refusing), userName(), err}
}

// userName names the user that the process runs as.
func userName() string {
	u, err := user.Current()
	switch {
	case err != nil:
		return fmt.Sprintf("with ID %d", os.Getuid())
	case runtime.GOOS == "windows":
		return u.Username
	}
	return fmt.Sprintf("%s (uid %s)", u.Username, u.Uid)
}
