// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// secret is the content of every rejected file in these tests. No error may contain it.
const secret = "s3cr3t-of-the-agent"

func TestRead(t *testing.T) {
	big := strings.Repeat("k", MaxSize)
	for _, test := range []struct {
		name    string
		content string
		want    string
		empty   bool   // fails with ErrEmpty
		err     string // part of any other error
	}{
		{name: "key", content: "k3y==", want: "k3y=="},
		{name: "one byte", content: "k", want: "k"},
		{name: "first and last character", content: "!~", want: "!~"},
		{name: "newline at end", content: "key\n", want: "key"},
		{name: "CRLF at end", content: "key\r\n", want: "key"},
		{name: "every white space at end", content: "key \t\r\n\n", want: "key"},
		{name: "4096 bytes", content: big, want: big},
		{name: "4096 bytes with newline", content: big[1:] + "\n", want: big[1:]},
		{name: "4097 bytes", content: big + "k", err: "larger than 4096"},
		{name: "4097 bytes with newline", content: big + "\n", err: "larger than 4096"},
		{name: "empty", content: "", empty: true},
		{name: "white space alone", content: " \t\r\n", empty: true},
		{name: "newline inside", content: secret + "\n" + secret, err: "does not hold a key"},
		{name: "space inside", content: secret + " " + secret, err: "does not hold a key"},
		{name: "space before", content: " " + secret, err: "does not hold a key"},
		{name: "form feed at end", content: secret + "\f", err: "does not hold a key"},
		{name: "NUL", content: secret + "\x00", err: "does not hold a key"},
		{name: "NUL alone", content: "\x00", err: "does not hold a key"},
		{name: "DEL", content: secret + "\x7f", err: "does not hold a key"},
		{name: "byte order mark", content: "\ufeff" + secret, err: "does not hold a key"},
		{name: "not UTF-8", content: secret + "\xff", err: "does not hold a key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "a.key", test.content)
			got, err := Read(dir, "a.key")
			if test.err == "" && !test.empty {
				require.NoError(t, err)
				require.Equal(t, test.want, got)
				return
			}
			require.Error(t, err)
			require.ErrorContains(t, err, test.err)
			require.ErrorContains(t, err, dir)
			require.NotContains(t, err.Error(), "a.key", "the agent's next key has another name")
			require.NotContains(t, err.Error(), secret)
			require.Empty(t, got)
			require.Equal(t, test.empty, errors.Is(err, ErrEmpty))
		})
	}
}

func TestReadRejects(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.key", secret)
	write(t, dir, "a.txt", secret)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "dir.key"), 0o700))
	write(t, filepath.Join(dir, "dir.key"), "b.key", secret)
	for _, test := range []struct{ name, dir, file, err string }{
		{"directory", dir, "dir.key", "is not a regular file"},
		{"no name", dir, "", "end in"},
		{"dot dot", dir, "../" + filepath.Base(dir) + "/a.key", "begins with"},
		{"name with slash", dir, "dir.key/b.key", "character other"},
		{"name with backslash", dir, `dir.key\b.key`, "character other"},
		{"absolute name", "/", filepath.Join(dir, "a.key"), ""},
		{"other suffix", dir, "a.txt", "end in"},
		{"no directory", "", "a.key", "not an absolute path"},
		{"relative directory", ".", "a.key", "not an absolute path"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Read(test.dir, test.file)
			require.Error(t, err)
			require.ErrorContains(t, err, test.err)
			require.NotContains(t, err.Error(), secret)
			require.Empty(t, got)
		})
	}
	got, err := Read(dir, "a.key")
	require.NoError(t, err, "the same file by its plain name")
	require.Equal(t, secret, got)
}

func TestReadMissing(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct{ name, dir string }{
		{"file", dir},
		{"directory", filepath.Join(dir, "tokens")},
		{"parent of directory", filepath.Join(dir, "azcmagent", "tokens")},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := Read(test.dir, "a.key")
			require.ErrorIs(t, err, fs.ErrNotExist)
			require.NotErrorIs(t, err, fs.ErrPermission)
			require.NotErrorIs(t, err, ErrEmpty)
			require.EqualError(t, err, test.dir+": open the key file: "+unwrapped(err))
			require.Empty(t, got)
		})
	}
}

// endless is a file that grows faster than it is read.
type endless struct{ given int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'k'
	}
	e.given += len(p)
	return len(p), nil
}

func TestReadGrowingFile(t *testing.T) {
	var r endless
	key, err := read(&r)
	require.ErrorIs(t, err, errTooLarge)
	require.Empty(t, key)
	require.Equal(t, MaxSize+1, r.given)
}

func TestReadInChunks(t *testing.T) {
	key, err := read(iotest.OneByteReader(strings.NewReader("key\r\n")))
	require.NoError(t, err)
	require.Equal(t, "key", key)
}

func TestReadFails(t *testing.T) {
	broken := errors.New("disk is on fire")
	key, err := read(io.MultiReader(strings.NewReader(secret), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	require.NotContains(t, err.Error(), secret)
	require.Empty(t, key)
}

// unwrapped returns the text of the innermost error.
func unwrapped(err error) string {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return err.Error()
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
}
