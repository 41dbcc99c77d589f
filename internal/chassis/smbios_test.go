// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package chassis

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// structure builds one SMBIOS structure: a formatted area of its type, its
// length, a handle and fields, then the strings.
func structure(kind byte, fields []byte, texts ...string) []byte {
	s := append([]byte{kind, byte(4 + len(fields)), 0x34, 0x12}, fields...)
	for _, text := range texts {
		s = append(append(s, text...), 0)
	}
	if len(texts) == 0 {
		s = append(s, 0)
	}
	return append(s, 0)
}

// enclosure builds a chassis whose asset tag is string number tag.
func enclosure(tag byte, texts ...string) []byte {
	return structure(3, []byte{1, 3, 0, 0, tag, 3, 3, 3, 3}, texts...)
}

// table puts the header of Windows before structures.
func table(structures ...[]byte) []byte {
	body := bytes.Join(structures, nil)
	header := binary.LittleEndian.AppendUint32([]byte{0, 3, 1, 0}, uint32(len(body)))
	return append(header, body...)
}

// withLength replaces the length that the header claims.
func withLength(table []byte, length uint32) []byte {
	table = bytes.Clone(table)
	binary.LittleEndian.PutUint32(table[4:], length)
	return table
}

var (
	bios   = structure(0, make([]byte, 20), "American Megatrends Inc.", "090008")
	system = structure(1, make([]byte, 23))
	end    = structure(127, nil)
	azure  = table(bios, system, enclosure(2, "Microsoft Corporation", azureTag, "Virtual Machine"), end)
)

func TestTagFromSMBIOS(t *testing.T) {
	only := table(enclosure(1, azureTag))
	for _, row := range []struct {
		name  string
		table []byte
		want  string
	}{
		{"Azure VM", azure, azureTag},
		{"first string", table(bios, enclosure(1, "tag", "b", "c"), end), "tag"},
		{"second string", table(bios, enclosure(2, "a", "tag", "c"), end), "tag"},
		{"third string", table(bios, enclosure(3, "a", "b", "tag"), end), "tag"},
		{"nothing after the chassis", only, azureTag},
		{"first of two chassis", table(enclosure(1, "tag"), enclosure(1, azureTag)), "tag"},
		{"shortest chassis with a tag", table(structure(3, []byte{1, 3, 0, 0, 1}, "tag")), "tag"},
		{"chassis one byte shorter", table(structure(3, []byte{1, 3, 0, 0}, "tag")), ""},
		{"no tag", table(enclosure(0, "a", "b")), ""},
		{"index beyond the strings", table(enclosure(4, "a", "b", "c")), ""},
		{"highest index", table(enclosure(255, "a")), ""},
		{"index without strings", table(enclosure(1)), ""},
		{"index without strings, others follow", table(enclosure(1), structure(4, nil, azureTag)), ""},
		{"no chassis", table(bios, system, end), ""},
		{"chassis after the end", table(bios, end, enclosure(1, azureTag)), ""},
		{"nil", nil, ""},
		{"header cut", azure[:7], ""},
		{"header alone", table(), ""},
		{"length of zero", withLength(azure, 0), ""},
		{"length too small by one", withLength(only, uint32(len(only)-8-1)), ""},
		{"length ends before the chassis", withLength(azure, uint32(len(bios)+len(system))), ""},
		{"length too large by one", withLength(only, uint32(len(only)-8+1)), azureTag},
		{"length of all ones", withLength(azure, 0xffffffff), azureTag},
		{"structure of length zero", table([]byte{3, 0, 0, 0, 0, 0}, enclosure(1, azureTag)), ""},
		{"structure of length three", table([]byte{3, 3, 0, 0, 0, 0}, enclosure(1, azureTag)), ""},
		{"structure longer than the table", table([]byte{3, 255, 0, 0, 1, 3, 0, 0, 1, 'a', 0, 0}), ""},
		{"strings cut", table(enclosure(1, azureTag)[:30]), ""},
		{"second NUL cut", table(enclosure(1, azureTag)[:13+len(azureTag)+1]), ""},
		{"earlier structure without its end", table([]byte{0, 4, 0, 0, 'a'}, []byte{'b', 0}), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.want, string(tagFromSMBIOS(row.table)))
		})
	}
}

// Every prefix of a table is a table that was cut off.
func TestTagFromTruncatedSMBIOS(t *testing.T) {
	complete := len(azure) - len(end)
	for n := range azure {
		want := ""
		if n >= complete {
			want = azureTag
		}
		require.Equal(t, want, string(tagFromSMBIOS(azure[:n])), "%d bytes", n)
	}
}

func FuzzSMBIOS(f *testing.F) {
	f.Add(azure)
	f.Add(azure[:len(azure)-8])
	f.Add(withLength(azure, 0xffffffff))
	f.Add(table(enclosure(3, "a", "b", "tag"), end))
	f.Add(table(enclosure(1)))
	f.Add([]byte(strings.Repeat("\x04\x04\x00\x00\x00\x00", 100)))
	f.Fuzz(func(t *testing.T, table []byte) {
		tag := tagFromSMBIOS(table)
		require.True(t, bytes.Contains(table, tag))
		require.NotContains(t, string(tag), "\x00")
	})
}
