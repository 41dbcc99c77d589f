// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package keyfile reads the key file that the Azure Arc agent writes. By sending the key, a caller proves
// that it may get a token.
//
// The program that listens on the agent's port names the file, and while the agent is stopped, any local user
// can listen there. So [Name] accepts only a key file in the agent's own directory, and [Read] opens it once,
// follows no links, never blocks, and reads only a small file. The directory itself is trusted, because only
// an administrator can write to it.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"strings"
)

// MaxSize is the size in bytes of the largest key file that is read.
const MaxSize = 4096

// ErrEmpty reports that a key file has nothing but white space; the agent may be about to write it. On
// Windows, the error for a file that another program has locked matches ErrEmpty too.
var ErrEmpty = errors.New("the key file is empty")

var (
	errTooLarge = fmt.Errorf("the key file is larger than %d bytes", MaxSize)
	errLink     = errors.New("the key file is a link")
)

// Read returns the key in dir/name without the white space at its end. The name must be one that
// [Name] returned, dir an absolute path.
//
// It fails with [ErrEmpty] for a file without a key, and with an error that matches [io/fs.ErrNotExist] or
// [io/fs.ErrPermission] for a file that is missing or can't be read; see [Refusal] for the latter. Errors
// never contain the file's content. They contain dir but not the name, which differs each time.
func Read(dir, name string) (string, error) {
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("the key directory %.200q is not an absolute path", dir)
	}
	if err := checkBase(runtime.GOOS == "windows", name); err != nil {
		return "", fmt.Errorf("the key file: %w", err)
	}
	key, err := readFile(filepath.Join(dir, name))
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("%s the key file: %w", pathErr.Op, pathErr.Err)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	return key, nil
}

func readFile(path string) (string, error) {
	f, err := open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("the key file is not a regular file but of type %s", info.Mode().Type())
	case info.Size() > MaxSize:
		return "", errTooLarge
	}
	return read(f)
}

// read returns the key that r holds. It bounds what it reads because a file can grow after Stat.
func read(r io.Reader) (string, error) {
	content, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return "", err
	}
	if len(content) > MaxSize {
		return "", errTooLarge
	}
	key := strings.TrimRight(string(content), " \t\r\n")
	if key == "" {
		return "", ErrEmpty
	}
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return "", errors.New("the file does not hold a key: it has white space or a character that is not printable ASCII")
		}
	}
	return key, nil
}
