// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRegistrySharesAndDrops(t *testing.T) {
	var r registry[string, cache]
	a := r.get("a", newCache)
	require.Same(t, a, r.get("a", newCache))
	require.NotSame(t, a, r.get("b", newCache))
	runtime.KeepAlive(a)
	for range 1000 { // the collector's cleanups run in their own time
		runtime.GC()
		r.mu.Lock()
		left := len(r.values)
		r.mu.Unlock()
		if left == 0 {
			return
		}
	}
	t.Fatal("values that nobody holds are still there after 1000 collections")
}

func TestRegistryKeepsASuccessor(t *testing.T) {
	var r registry[string, cache]
	a := r.get("a", newCache)
	r.drop("a") // the cleanup of a predecessor that was collected late
	require.Same(t, a, r.get("a", newCache))
}
