// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command benchmarks runs this folder's benchmarks, which do the same work with azhost, with
// azidentity and with what neither can do without (the floor), and prints their ratios:
//
//	go run .
//
// Arguments are passed on to go test; the benchmarks alone are
//
//	go test -bench . -benchmem
//
// Five processes measure each row, all of it in turn. On Linux they have a file system of their own
// for the keys of a fake Arc agent, which azidentity would not read elsewhere. Nothing here is a
// test: no time is asserted.
package main
