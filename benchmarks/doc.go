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
// All that is compared in a row was measured in one process. Nothing here is a test: no time is asserted.
package main
