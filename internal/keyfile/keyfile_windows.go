// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"os"
	"syscall"
)

// open opens a link, or any other reparse point, as itself: what it points to is never touched and
// the handle does not say that it is a regular file.
func open(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.FILE_FLAG_OPEN_REPARSE_POINT, 0)
}
