// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package hosttest

import (
	"crypto/fips140"
	"crypto/rand"
	"runtime"
	"testing"
)

// Main runs the tests of a package that uses bubbles. Before that, it reads random bytes: in FIPS mode, the
// first read collects entropy from the jitter of the clock, and a bubble's clock has none. It also limits FIPS
// mode to one processor, because a concurrent read would collect entropy again.
func Main(m *testing.M) {
	rand.Text()
	if fips140.Enabled() {
		runtime.GOMAXPROCS(1)
	}
	m.Run()
}
