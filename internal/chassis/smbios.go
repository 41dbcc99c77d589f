// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package chassis

import (
	"bytes"
	"encoding/binary"
)

// Numbers of the SMBIOS specification (DMTF DSP0134), and of the header that Windows puts before the table.
const (
	rawHeader    = 8   // calling method and versions, then the table's length in 4 bytes
	minStructure = 4   // type, length, and a handle of 2 bytes
	typeChassis  = 3   // "system enclosure or chassis"
	typeEnd      = 127 // what follows it is not part of the table
	tagOffset    = 8   // in the chassis structure: the number of the string that is the asset tag
)

// tagFromSMBIOS returns the asset tag of the first chassis in a raw SMBIOS table as Windows returns it, or
// nil if there is none or the table is damaged. The result is a part of table. The function builds on all
// systems, so that its tests run everywhere.
func tagFromSMBIOS(table []byte) []byte {
	if len(table) < rawHeader {
		return nil
	}
	length := binary.LittleEndian.Uint32(table[4:rawHeader])
	rest := table[rawHeader:]
	if uint64(length) < uint64(len(rest)) {
		rest = rest[:length]
	}
	for len(rest) >= minStructure {
		kind, size := rest[0], int(rest[1])
		if kind == typeEnd || size < minStructure || size > len(rest) {
			return nil
		}
		// Each structure is followed by its strings, or by nothing, and then by two NULs, the first of which
		// ends the last string.
		texts, next, found := bytes.Cut(rest[size:], []byte{0, 0})
		if !found {
			return nil
		}
		if kind == typeChassis {
			if size <= tagOffset {
				return nil
			}
			return nthString(texts, int(rest[tagOffset]))
		}
		rest = next
	}
	return nil
}

// nthString returns the nth of some NUL-separated strings, counted from 1. n is 0 in a structure that omits
// the string.
func nthString(texts []byte, n int) []byte {
	for s := range bytes.SplitSeq(texts, []byte{0}) {
		if n--; n == 0 {
			return s
		}
	}
	return nil
}
