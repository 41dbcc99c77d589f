// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/azhost/azhost/internal/hosttest"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) { hosttest.Main(m) }

// TestServiceFabricUnderFIPS runs tests again in FIPS mode, which is a start-up setting. Service Fabric
// publishes the SHA-1 of its certificate, and in FIPS mode crypto/sha1 panics, in a goroutine of net/http
// where a program can't recover.
func TestServiceFabricUnderFIPS(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	again := exec.CommandContext(t.Context(), self, "-test.run=^(TestServiceFabricRequest|TestPin|TestPinOfNewConnections)$", "-test.v")
	again.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := again.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, name := range []string{"TestServiceFabricRequest", "TestPin", "TestPinOfNewConnections"} {
		require.Contains(t, string(out), "--- PASS: "+name+" (")
	}
}
