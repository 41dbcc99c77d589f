// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build race

package azhost

const (
	modelRuns  = 2_000
	modelJumps = false // the cache reads its epoch without a lock, so a test that moves it races with it
)
