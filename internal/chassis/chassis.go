// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package chassis recognizes an Azure VM by its firmware.
package chassis

import "bytes"

// azureTag is the asset tag that Azure gives to the virtual chassis of every VM, in every cloud. Its pairs of
// digits are the ASCII codes of "MSFT AZURE VM". cloud-init recognizes Azure by the same tag.
const azureTag = "7783-7084-3265-9085-8269-3286-77"

// IsAzureVM reports whether the firmware's chassis asset tag is that of an Azure VM. It is only a hint: true
// means that IMDS is worth waiting for, not that the machine has an identity, and false proves nothing,
// because containers and sandboxes may hide the firmware.
//
// It reads a file on Linux and asks the kernel on Windows; on other systems, it returns false. It doesn't use
// the network and caches nothing.
func IsAzureVM() bool {
	return isAzureTag(assetTag())
}

// isAzureTag allows for the newline that Linux adds and for the padding of firmware strings. Anything else
// must match exactly.
func isAzureTag(tag []byte) bool {
	return string(bytes.TrimRight(tag, " \n\x00")) == azureTag
}
