// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package attacks

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// attacksHere returns attacks with paths that only Windows understands. Links and other reparse points are
// in internal/keyfile, because not every account can create them, and Wine can't.
func attacksHere(t *testing.T, dir, _ string) []attack {
	good := filepath.Join(dir, "good.key")
	in := func(name, want string) attack { return attack{name, challenging(dir + `\` + name), want} }
	return []attack{
		{"verbatim", challenging(`\\?\` + good), "not absolute"},
		{"verbatim server", challenging(`\\?\UNC\127.0.0.1\share\good.key`), "not absolute"},
		{"object", challenging(`\??\` + good), "not absolute"},
		{"device", challenging(`\\.\` + good), "not absolute"},
		{"pipe", challenging(`\\.\pipe\a.key`), "not absolute"},
		{"server", challenging(`\\127.0.0.1\` + strings.Replace(good, ":", "$", 1)), "not absolute"},
		{"server with slashes", challenging(`//127.0.0.1/share/good.key`), "not absolute"},
		{"no drive", challenging(good[2:]), "not absolute"},
		{"drive-relative", challenging(good[:2] + "good.key"), "not absolute"},
		{"a Unix path", challenging("/var/opt/azcmagent/tokens/good.key"), "not absolute"},
		{"dot at the directory's end", challenging(dir + `.\good.key`), "not in the agent's key directory"},
		{"stream of the directory", challenging(dir + `::$INDEX_ALLOCATION\good.key`), "not in the agent's key directory"},
		in("good.key:a.key", "a character other than"),
		in("a.txt:a.key", "a character other than"),
		in("good.key::$DATA", "does not end in"),
		in("good.key.", "does not end in"),
		in("good.KEY", "does not end in"),
		in("GOOD~1.key", "a character other than"),
		in("con .key", "a character other than"),
		in("CONIN$.key", "a character other than"),
		in("NUL.key", "device"),
		in("con.key", "device"),
		in("aux.x.key", "device"),
		in("COM1.key", "device"),
		in("lpt9.key", "device"),
	}
}

// openFiles returns the number of handles of this process.
func openFiles(t *testing.T) int {
	var n uint32
	self, err := syscall.GetCurrentProcess()
	require.NoError(t, err)
	ok, _, err := syscall.NewLazyDLL("kernel32.dll").NewProc("GetProcessHandleCount").Call(uintptr(self), uintptr(unsafe.Pointer(&n)))
	require.NotZero(t, ok, err)
	return int(n)
}
