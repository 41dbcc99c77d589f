// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package netns_test

import (
	"testing"

	"github.com/azhost/azhost/e2e/internal/netns"
	"github.com/stretchr/testify/require"
)

func TestConfined(t *testing.T) {
	t.Parallel()
	here, err := netns.Current()
	require.NoError(t, err)
	for name, outside := range map[string]string{
		"nothing given":           "",
		"the starter's namespace": here,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Error(t, netns.Confined(outside))
		})
	}
}
