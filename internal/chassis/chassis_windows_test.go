// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package chassis

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

// Checks the call and the layout of the header. The tag in the table depends on the machine.
func TestFirmwareTable(t *testing.T) {
	table := firmwareTable()
	require.Greater(t, len(table), rawHeader)
	require.EqualValues(t, len(table)-rawHeader, binary.LittleEndian.Uint32(table[4:]))
	require.Equal(t, isAzureTag(tagFromSMBIOS(table)), IsAzureVM())
}
