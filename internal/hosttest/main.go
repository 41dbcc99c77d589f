// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package hosttest

import (
	"crypto/fips140"
	"crypto/rand"
	"runtime"
	"testing"
)

// Main runs the tests of a package that uses bubbles. Before them it reads random bytes: in FIPS mode, Go
// collects entropy from the jitter of the clock, and a bubble's clock has none. It does so on one
// processor, because two concurrent readers would collect entropy twice.
func Main(m *testing.M) {
	rand.Text()
	if fips140.Enabled() {
		runtime.GOMAXPROCS(1)
	}
	m.Run()
}
