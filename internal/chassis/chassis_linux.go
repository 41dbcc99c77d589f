// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package chassis

import (
	"io"
	"os"
)

// assetTag reads the tag from a file that every user can read.
func assetTag() []byte {
	return readTag("/sys/class/dmi/id/chassis_asset_tag")
}

// readTag reads at most 4 KiB, one page, which is the most that a sysfs file can hold. It returns nil if the
// file cannot be read.
func readTag(path string) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	tag, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return nil
	}
	return tag
}
