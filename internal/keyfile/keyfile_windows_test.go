// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadLinks needs an account that can create links. Wine pretends to create a link, so there the test
// only checks that nothing is read. TestCheckAttributes checks the same decision.
func TestReadLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "real.key", secret)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	for _, test := range []struct{ name, target string }{
		{"relative.key", "real.key"},
		{"absolute.key", filepath.Join(dir, "real.key")},
		{"folder.key", filepath.Join(dir, "folder")},
		{"dangling.key", "nothing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(dir, test.name)
			_ = os.Symlink(test.target, path)
			key, err := Read(dir, test.name)
			require.ErrorContains(t, err, dir)
			require.NotContains(t, err.Error(), secret)
			require.Empty(t, key)
			if _, err := os.Lstat(path); err == nil {
				_, err = Read(dir, test.name)
				require.ErrorIs(t, err, errLink)
			} else {
				require.ErrorIs(t, err, fs.ErrNotExist)
			}
		})
	}
}

func TestCheckAttributes(t *testing.T) {
	for _, test := range []struct {
		name       string
		attributes uint32
		link       bool
	}{
		{"file", syscall.FILE_ATTRIBUTE_NORMAL, false},
		{"file to archive", syscall.FILE_ATTRIBUTE_ARCHIVE, false},
		{"hidden and read-only file", syscall.FILE_ATTRIBUTE_HIDDEN | syscall.FILE_ATTRIBUTE_READONLY, false},
		{"directory, which Read rejects", syscall.FILE_ATTRIBUTE_DIRECTORY, false},
		{"link to a file", syscall.FILE_ATTRIBUTE_REPARSE_POINT, true},
		{"link to a directory, or junction", syscall.FILE_ATTRIBUTE_REPARSE_POINT | syscall.FILE_ATTRIBUTE_DIRECTORY, true},
		{"placeholder of a cloud drive", syscall.FILE_ATTRIBUTE_REPARSE_POINT | syscall.FILE_ATTRIBUTE_ARCHIVE, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := checkAttributes(test.attributes)
			if test.link {
				require.ErrorIs(t, err, errLink)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// TestReadOtherSpellings writes a key that Windows would find by each of these names.
func TestReadOtherSpellings(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "secretkey.key", secret)
	write(t, dir, "a.txt", secret)
	for _, file := range []string{
		"secretkey.KEY", "secretkey.key.", "secretkey.key ", "secretkey.key::$DATA", "secretkey.key:x.key", "a.txt:x.key",
		"SECRET~1.KEY", "SECRET~1.key", `.\secretkey.key`, "./secretkey.key", `..\` + filepath.Base(dir) + `\secretkey.key`,
		filepath.Join(dir, "secretkey.key"), `\\?\` + filepath.Join(dir, "secretkey.key"), " secretkey.key", "secretkey.key\x00.key",
		"NUL", "NUL.key", "nul.key", "con.key", "CON.key", "con .key", "con.x.key", "AUX.key", "PRN.key", "COM1.key", "com9.key", "LPT1.key",
		"COM\u00b9.key", "CONIN$.key", "NUL:.key", `\\.\NUL.key`, `\\.\pipe\x.key`, `\\server\share\a.key`,
	} {
		t.Run(file, func(t *testing.T) {
			key, err := Read(dir, file)
			require.ErrorContains(t, err, "the key file: its name ")
			require.NotContains(t, err.Error(), secret)
			require.Empty(t, key)
		})
	}
	for _, path := range []string{
		`\\?\` + dir + `\secretkey.key`, `\\.\` + dir + `\secretkey.key`, `\??\` + dir + `\secretkey.key`,
		`\\localhost\` + strings.Replace(dir, ":", "$", 1) + `\secretkey.key`, strings.TrimPrefix(dir, filepath.VolumeName(dir)) + `\secretkey.key`,
		dir + `.\secretkey.key`, dir + ` \secretkey.key`, dir + `::$INDEX_ALLOCATION\secretkey.key`, dir + `\sub\..\secretkey.key`,
	} {
		t.Run(path, func(t *testing.T) {
			name, err := Name(path, dir)
			require.ErrorContains(t, err, "the key file's path")
			require.Empty(t, name)
		})
	}
	for _, path := range []string{dir + `\secretkey.key`, strings.ToUpper(dir) + `/secretkey.key`, dir + `\SecretKey.key`} {
		t.Run(path, func(t *testing.T) {
			name, err := Name(path, dir)
			require.NoError(t, err)
			key, err := Read(dir, name)
			require.NoError(t, err, "the file can be read by its path")
			require.Equal(t, secret, key)
		})
	}
}

// TestReadKeyInUse checks that a file that the agent still has open can be read.
func TestReadKeyInUse(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "a.key"))
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString("key")
	require.NoError(t, err)
	key, err := Read(dir, "a.key")
	require.NoError(t, err)
	require.Equal(t, "key", key)
}

func TestReadLockedKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.key")
	write(t, dir, "a.key", secret)
	name, err := syscall.UTF16PtrFromString(path)
	require.NoError(t, err)
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ, 0, nil, syscall.OPEN_EXISTING, 0, 0) // not shared
	require.NoError(t, err)
	key, err := Read(dir, "a.key")
	require.NoError(t, syscall.CloseHandle(h))
	require.ErrorIs(t, err, ErrEmpty, "the agent may be done in a moment")
	require.NotErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, dir+": open the key file: ")
	require.Empty(t, key)

	key, err = Read(dir, "a.key")
	require.NoError(t, err)
	require.Equal(t, secret, key)
}

// TestDeletedWhileRead checks that the agent can delete a key, as it does after its use, while another
// exchange reads it.
func TestDeletedWhileRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.key", "key")
	f, err := open(filepath.Join(dir, "a.key"))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Remove(filepath.Join(dir, "a.key")))
	key, err := read(f)
	require.NoError(t, err)
	require.Equal(t, "key", key)
}

func TestReadClosesFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"good.key": "key", "empty.key": "", "big.key": strings.Repeat("k", MaxSize+1), "binary.key": "\x00"} {
		write(t, dir, name, content)
		_, _ = Read(dir, name)
		// A file that is not shared can be opened only if it is not open elsewhere.
		path, err := syscall.UTF16PtrFromString(filepath.Join(dir, name))
		require.NoError(t, err)
		h, err := syscall.CreateFile(path, syscall.GENERIC_READ, 0, nil, syscall.OPEN_EXISTING, 0, 0)
		require.NoError(t, err, name)
		require.NoError(t, syscall.CloseHandle(h))
	}
}
