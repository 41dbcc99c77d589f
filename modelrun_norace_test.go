// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !race

package azhost

const (
	// modelRuns is how many random runs TestModel makes.
	modelRuns = 20_000
	// modelJumps is whether the clocks jump in these runs.
	modelJumps = true
)
