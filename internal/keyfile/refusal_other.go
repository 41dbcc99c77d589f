// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !unix

package keyfile

import "io/fs"

func permissions(fs.FileInfo) string { return "" }

func caller() string { return "this account" }
