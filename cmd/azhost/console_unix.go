// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"os"
	"syscall"
	"unsafe"
)

// columns returns a terminal's width, and whether the file is one.
func columns(f *os.File) (n int, terminal bool) {
	var size struct{ rows, columns, x, y uint16 }
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = conn.Control(func(fd uintptr) {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
		terminal = errno == 0
	})
	return int(size.columns), terminal && err == nil
}

// escapes reports whether a terminal understands escape sequences.
func escapes(*os.File) bool { return true }
