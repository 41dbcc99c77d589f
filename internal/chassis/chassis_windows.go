// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package chassis

import (
	"syscall"
	"unsafe"
)

const (
	rsmb     = 0x52534D42 // 'RSMB': the provider of the raw SMBIOS table
	maxTable = 1 << 20    // real tables have a few KiB
)

// kernel32.dll is already loaded in every process, so Windows doesn't load a file of this name from the
// working directory.
var getSystemFirmwareTable = syscall.NewLazyDLL("kernel32.dll").NewProc("GetSystemFirmwareTable")

func assetTag() []byte {
	return tagFromSMBIOS(firmwareTable())
}

// firmwareTable returns the SMBIOS table from Windows, or nil if there is none. The alternatives are worse:
// WMI needs COM, and programs can write to the registry.
func firmwareTable() []byte {
	if getSystemFirmwareTable.Find() != nil {
		return nil // Call would panic
	}
	size, _, _ := getSystemFirmwareTable.Call(rsmb, 0, 0, 0)
	if size == 0 || size > maxTable {
		return nil
	}
	table := make([]byte, size)
	n, _, _ := getSystemFirmwareTable.Call(rsmb, 0, uintptr(unsafe.Pointer(&table[0])), size)
	if n > size {
		return nil // the table grew between the calls, and nothing was written
	}
	return table[:n]
}
