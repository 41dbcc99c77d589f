// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// With a target, a program calls the real service.
func TestStartWithTarget(t *testing.T) {
	t.Parallel()
	target := "https://my-vault.vault.azure.net"
	service, err := Start(&target, func() (*Service, error) { panic("started a fake") })
	require.NoError(t, err)
	defer service.Close()
	require.Equal(t, "https://my-vault.vault.azure.net", target)
	require.Zero(t, *service.Machine)
	require.Zero(t, service.Client)
	require.Nil(t, service.Transport)
}
