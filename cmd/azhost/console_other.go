// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package main

import "os"

// columns treats every file as a pipe.
func columns(*os.File) (n int, terminal bool) { return 0, false }

func escapes(*os.File) bool { return false }
