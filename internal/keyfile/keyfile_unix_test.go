// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package keyfile

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// special fills a new directory with entries that aren't key files, and returns it and their names.
func special(t *testing.T) (dir string, names []string) {
	dir = t.TempDir()
	outside := t.TempDir()
	write(t, outside, "shadow", secret)
	write(t, outside, "b.key", secret)
	write(t, dir, "real.key", secret)
	for name, target := range map[string]string{
		"outside.key":  filepath.Join(outside, "shadow"),
		"same.key":     filepath.Join(outside, "b.key"),
		"relative.key": "real.key",
		"absolute.key": filepath.Join(dir, "real.key"),
		"chain.key":    "relative.key",
		"loop.key":     "loop.key",
		"dangling.key": "nothing",
		"zero.key":     "/dev/zero",
		"tty.key":      "/dev/tty",
		"proc.key":     "/proc/self/environ",
		"folder.key":   outside,
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
		names = append(names, name)
	}
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "fifo.key"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "dir.key"), 0o700))
	return dir, append(names, "fifo.key", "dir.key")
}

func TestReadSpecialFiles(t *testing.T) {
	dir, names := special(t)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			info, err := os.Lstat(filepath.Join(dir, name))
			require.NoError(t, err)
			key, err := Read(dir, name) // blocks if it waits for a FIFO
			require.Empty(t, key)
			require.ErrorContains(t, err, dir)
			require.NotContains(t, err.Error(), secret)
			if info.Mode().Type() == os.ModeSymlink {
				require.ErrorContains(t, err, "is a link")
				return
			}
			require.ErrorContains(t, err, "is not a regular file")
		})
	}
}

func TestReadSocket(t *testing.T) {
	// A socket's address is limited to about 100 bytes, which the name of a temporary directory can exceed.
	t.Chdir(t.TempDir())
	l, err := net.Listen("unix", "s.key")
	require.NoError(t, err)
	defer l.Close()
	dir, err := os.Getwd()
	require.NoError(t, err)
	key, err := Read(dir, "s.key")
	require.ErrorContains(t, err, dir)
	require.Empty(t, key)
}

// TestReadFIFOWithWriter checks that a FIFO isn't read even if it has a writer.
func TestReadFIFOWithWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.key")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString(secret)
	require.NoError(t, err)
	key, err := Read(dir, "a.key")
	require.ErrorContains(t, err, "is not a regular file")
	require.Empty(t, key)
}

// TestReadLinkedDirectory checks that the directory may be a link, because an administrator may have moved
// the agent's data.
func TestReadLinkedDirectory(t *testing.T) {
	dir, links := t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tokens"), 0o700))
	write(t, filepath.Join(dir, "tokens"), "a.key", "key")
	require.NoError(t, os.Symlink("a.key", filepath.Join(dir, "tokens", "link.key")))
	require.NoError(t, os.Symlink(dir, filepath.Join(links, "azcmagent")))
	require.NoError(t, os.Symlink("azcmagent/tokens", filepath.Join(links, "tokens")))
	for _, dir := range []string{filepath.Join(links, "azcmagent", "tokens"), filepath.Join(links, "tokens")} {
		key, err := Read(dir, "a.key")
		require.NoError(t, err)
		require.Equal(t, "key", key)
		key, err = Read(dir, "link.key")
		require.ErrorIs(t, err, errLink)
		require.Empty(t, key)
	}
}

func TestReadHardLink(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.key", "key")
	require.NoError(t, os.Link(filepath.Join(dir, "a.key"), filepath.Join(dir, "b.key")))
	key, err := Read(dir, "b.key")
	require.NoError(t, err)
	require.Equal(t, "key", key)
}

// TestReadWhileReplaced checks that a link that replaces the file during the check or the read isn't
// followed.
func TestReadWhileReplaced(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, outside, "shadow", secret)
	write(t, dir, "a.key", "key")
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		a, next := filepath.Join(dir, "a.key"), filepath.Join(dir, "next")
		for {
			err := errors.Join(os.Symlink(filepath.Join(outside, "shadow"), next), os.Rename(next, a),
				os.WriteFile(next, []byte("key"), 0o600), os.Rename(next, a))
			select {
			case <-stop:
				stopped <- err
				return
			default:
			}
			if err != nil {
				<-stop
				stopped <- err
				return
			}
		}
	}()
	keys, links := 0, 0
	for n := 0; n < 1e6 && (keys < 100 || links < 100); n++ {
		switch key, err := Read(dir, "a.key"); {
		case err == nil:
			require.Equal(t, "key", key)
			keys++
		default:
			require.ErrorContains(t, err, "is a link")
			links++
		}
	}
	close(stop)
	require.NoError(t, <-stopped)
	require.NotZero(t, keys)
	require.NotZero(t, links)
}

// TestReplacedAfterOpen checks that the file that was checked is the one that is read.
func TestReplacedAfterOpen(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.key", "key")
	write(t, dir, "b.key", secret)
	f, err := open(filepath.Join(dir, "a.key"))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Rename(filepath.Join(dir, "b.key"), filepath.Join(dir, "a.key")))
	key, err := read(f)
	require.NoError(t, err)
	require.Equal(t, "key", key)
}
