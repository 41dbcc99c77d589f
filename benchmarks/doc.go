// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command benchmarks runs this folder's benchmarks, which do the same work with azhost, with
// azidentity, and with as little as any client needs (the floor), and prints their ratios:
//
//	go run .
//
// With -against, the benchmarks of another checkout run in turn with these, so that two versions are
// compared on one machine at one time. Arguments are passed on to go test; the benchmarks alone are
//
//	go test -bench . -benchmem
//
// Five processes measure each row, all of it in turn. On Linux they have a file system of their own
// for the keys of a fake Arc agent, because azidentity reads them in one folder only. Nothing here is
// a test: no time is asserted. README.md says what is compared and what the numbers don't say.
package main
