// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !race

package azhost

const (
	// modelRuns is how many random runs TestModel makes.
	modelRuns = 20_000
	// modelJumps says that the clocks jump in them.
	modelJumps = true
)
