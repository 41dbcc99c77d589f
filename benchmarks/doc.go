// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command benchmarks runs this folder's benchmarks and prints the ratios of their results. They do the same
// work with azhost, with azidentity, and with as little as any client needs (the floor). Run them with
//
//	go run .
//
// With -against, the benchmarks of another checkout run in turn with these, to compare two versions on one
// machine at the same time. Arguments are passed on to go test. To run only the benchmarks, use
//
//	go test -bench . -benchmem
//
// Five processes in turn measure each row. On Linux, each has its own file system for the keys of a fake Arc
// agent, because azidentity reads them only in one folder. These are not tests: they assert no times.
// README.md says what is compared and what the numbers don't show.
package main
