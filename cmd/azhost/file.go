// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"os"
	"path/filepath"
)

// writeFile replaces the file at path in one step, so that a reader sees either the old content or the new.
// Only the file's owner can read it.
func writeFile(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = f.WriteString(content)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
