// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"io/fs"
	"os"
	"syscall"
)

// open opens a link, or any other reparse point, itself and then rejects it, so it never touches the target.
// Unlike [os.OpenFile], it lets the agent delete the file while it is open.
func open(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ,
		syscall.FILE_SHARE_READ|syscall.FILE_SHARE_WRITE|syscall.FILE_SHARE_DELETE,
		nil, syscall.OPEN_EXISTING,
		// Without backup semantics, opening a directory fails with an error about permissions.
		syscall.FILE_FLAG_OPEN_REPARSE_POINT|syscall.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		if err == errSharingViolation {
			err = lockedError{err}
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	var info syscall.ByHandleFileInformation
	if err = syscall.GetFileInformationByHandle(h, &info); err == nil {
		err = checkAttributes(info.FileAttributes)
	}
	if err != nil {
		_ = syscall.CloseHandle(h)
		return nil, err
	}
	return os.NewFile(uintptr(h), path), nil
}

// checkAttributes rejects every reparse point, whether or not Go calls it a regular file.
func checkAttributes(attributes uint32) error {
	if attributes&syscall.FILE_ATTRIBUTE_REPARSE_POINT != 0 {
		return errLink
	}
	return nil
}

// errSharingViolation is ERROR_SHARING_VIOLATION.
const errSharingViolation = syscall.Errno(32)

// lockedError is the error for a file that the agent is still writing, or that a virus scanner is reading.
type lockedError struct{ error }

// Is makes the error match ErrEmpty, because the key may be there a moment later.
func (lockedError) Is(target error) bool { return target == ErrEmpty }
