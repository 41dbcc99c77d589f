// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !unix

package main

// ownership returns "": Windows has access control lists.
func ownership(string) string { return "" }
