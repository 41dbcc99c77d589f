// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package clients

import (
	"testing"

	"github.com/azhost/azhost/examples/internal/readme"
	"github.com/stretchr/testify/require"
)

func TestCommandsPrintWhatREADMESays(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"./grpc", "./azuresql", "./postgres", "./mysql", "./redis"}, readme.Run(t, "."))
}
