// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package keyfile

import (
	"errors"
	"os"
	"syscall"
)

// open rejects a link in the last element of path, and doesn't wait for the writer of a FIFO.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errLink
	}
	return f, err
}
