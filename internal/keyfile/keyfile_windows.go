// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"io/fs"
	"os"
	"syscall"
)

// open opens a link, or any other reparse point, as itself and then refuses it: what it points to
// is never touched. Unlike [os.OpenFile], it lets the agent delete the file meanwhile.
func open(path string) (*os.File, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ,
		syscall.FILE_SHARE_READ|syscall.FILE_SHARE_WRITE|syscall.FILE_SHARE_DELETE,
		nil, syscall.OPEN_EXISTING,
		// Backup semantics open a directory too, which is otherwise refused as if rights were missing.
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

// checkAttributes refuses every reparse point, whether or not Go calls it a regular file.
func checkAttributes(attributes uint32) error {
	if attributes&syscall.FILE_ATTRIBUTE_REPARSE_POINT != 0 {
		return errLink
	}
	return nil
}

// errSharingViolation is ERROR_SHARING_VIOLATION.
const errSharingViolation = syscall.Errno(32)

// lockedError is about a file that the agent is still writing, or that a virus scanner looks at.
type lockedError struct{ error }

// Is makes the error match ErrEmpty: in a moment there may be a key.
func (lockedError) Is(target error) bool { return target == ErrEmpty }
