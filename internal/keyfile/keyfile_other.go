// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !unix && !windows

package keyfile

import (
	"errors"
	"io/fs"
	"os"
)

func open(path string) (*os.File, error) {
	return nil, &fs.PathError{Op: "open", Path: path, Err: errors.ErrUnsupported}
}
