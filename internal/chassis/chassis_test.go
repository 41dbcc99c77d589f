// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package chassis

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Without this test, only an Azure VM would show a mistyped digit.
func TestAzureTagIsASCII(t *testing.T) {
	digits := strings.ReplaceAll(azureTag, "-", "")
	var name []byte
	for i := 0; i < len(digits); i += 2 {
		code, err := strconv.ParseUint(digits[i:i+2], 10, 8)
		require.NoError(t, err)
		name = append(name, byte(code))
	}
	require.Equal(t, "MSFT AZURE VM", string(name))
}

func TestIsAzureTag(t *testing.T) {
	for _, row := range []struct {
		name, tag string
		want      bool
	}{
		{"exact", azureTag, true},
		{"newline", azureTag + "\n", true},
		{"blanks and NULs", azureTag + "  \x00\x00\n", true},
		{"empty", "", false},
		{"newline alone", "\n", false},
		{"leading blank", " " + azureTag, false},
		{"a digit short", azureTag[:len(azureTag)-1], false},
		{"a digit more", azureTag + "0", false},
		{"two lines", azureTag + "\n" + azureTag, false},
		{"Azure Stack", "7783-7084-3265-9085-8269-3283-84", false},
		{"Hyper-V", "Microsoft Corporation", false},
		{"another cloud", "Amazon EC2", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, isAzureTag([]byte(row.tag)))
		})
	}
	require.False(t, isAzureTag(nil))
}
