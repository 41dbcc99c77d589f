// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package messaging

import (
	"os/exec"
	"testing"

	"github.com/azhost/azhost/examples/internal/readme"
	"github.com/stretchr/testify/require"
)

func TestCommandsPrintWhatREADMESays(t *testing.T) {
	t.Parallel()
	programs := readme.Run(t, ".")
	require.Equal(t, []string{"./servicebus", "./eventhubs", "./kafka"}, programs)
	for _, program := range programs {
		help, err := exec.CommandContext(t.Context(), "go", "run", program, "-h").CombinedOutput()
		require.NoError(t, err, "%s -h: %s", program, help)
		require.Contains(t, string(help), "-namespace")
	}
}
