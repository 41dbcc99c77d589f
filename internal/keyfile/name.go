// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package keyfile

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
)

const (
	maxPath = 4096 // bytes, Linux's limit; Windows paths of an agent are far shorter
	maxBase = 255  // bytes, the limit of the usual file systems

	suffix = ".key" // agents send it in lower case, and every client checks it in lower case
)

// Directory returns the directory that this system's agent writes its keys to. On Windows, it is in
// programData, the value of %ProgramData%. It is "" on a system that has no agent, and on Windows if
// programData is not an absolute path with a drive letter.
func Directory(programData string) string { return directory(runtime.GOOS, programData) }

func directory(goos, programData string) string {
	switch goos {
	case "linux":
		return "/var/opt/azcmagent/tokens"
	case "windows":
		if parent, ok := cleanDir(true, programData); ok {
			return strings.ReplaceAll(parent, "/", `\`) + `\AzureConnectedMachineAgent\Tokens`
		}
	}
	return ""
}

// Group returns the operating system's group whose members may read the agent's keys on goos, a value of
// [runtime.GOOS]. It is "" for a system that has no agent.
func Group(goos string) string {
	switch goos {
	case "linux":
		return "himds"
	case "windows":
		return "Hybrid agent extension applications"
	}
	return ""
}

// Name checks the path that a challenge names and returns the base name of its key file. The path must be one
// of dirs, one separator, and a name that ends in ".key", without elements such as ".." in between. The dirs
// are cleaned first; an empty or relative one matches nothing. Windows paths are compared without regard to
// ASCII case and to the direction of slashes. Errors quote at most the path's directory, because the agent
// changes the name each time.
func Name(path string, dirs ...string) (string, error) {
	return name(runtime.GOOS == "windows", path, dirs)
}

func name(windows bool, file string, dirs []string) (string, error) {
	if len(file) > maxPath {
		return "", fmt.Errorf("the key file's path has %d bytes, more than %d", len(file), maxPath)
	}
	if strings.ContainsFunc(file, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", errors.New("the key file's path has a character that is not printable ASCII")
	}
	slashed := file
	if windows {
		slashed = strings.ReplaceAll(file, `\`, "/")
	}
	if !rooted(windows, slashed) {
		// This covers \\server\share and the \\?\, \\.\ and \??\ prefixes too.
		return "", errors.New("the key file's path is not absolute")
	}
	i := strings.LastIndexByte(slashed, '/')
	parent, base := slashed[:i], slashed[i+1:]
	// The dirs are clean, so a parent that equals one holds no "..", "." or doubled separator.
	if !slices.ContainsFunc(dirs, func(dir string) bool {
		dir, ok := cleanDir(windows, dir)
		return ok && (dir == parent || windows && lower(dir) == lower(parent))
	}) {
		return "", fmt.Errorf("the key file's path is not in the agent's key directory but in %.200q", file[:i+1])
	}
	if err := checkBase(windows, base); err != nil {
		return "", fmt.Errorf("the key file's path is in the agent's key directory, but %w", err)
	}
	return base, nil
}

// checkBase returns an error unless base is a valid name of a key file. On Windows, a device's name isn't.
func checkBase(windows bool, base string) error {
	switch {
	case !strings.HasSuffix(base, suffix):
		return fmt.Errorf("its name does not end in %q", suffix)
	case base[0] == '.':
		return errors.New(`its name begins with "."`)
	case len(base) > maxBase:
		return fmt.Errorf("its name has %d bytes, more than %d", len(base), maxBase)
	case strings.ContainsFunc(base, func(r rune) bool { return !inBase(r) }):
		return errors.New("its name has a character other than letters, digits, '.', '_' and '-'")
	case windows && device(base):
		return errors.New("its name is that of a device")
	}
	return nil
}

func inBase(r rune) bool {
	return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' ||
		r == '.' || r == '_' || r == '-'
}

// device reports whether Windows opens a device instead of a file of that name. Windows ignores what follows
// the first dot. CONIN$ and CONOUT$ have characters that inBase rejects.
func device(base string) bool {
	stem, _, _ := strings.Cut(strings.ToUpper(base), ".")
	switch stem {
	case "CON", "PRN", "AUX", "NUL":
		return true
	}
	return len(stem) == 4 && (stem[:3] == "COM" || stem[:3] == "LPT") && '0' <= stem[3] && stem[3] <= '9'
}

// rooted reports whether a path with forward slashes begins at the root, or on Windows, at the root of a
// drive.
func rooted(windows bool, slashed string) bool {
	if windows {
		if len(slashed) < 2 || slashed[1] != ':' {
			return false
		}
		if drive := slashed[0] | 0x20; drive < 'a' || drive > 'z' {
			return false
		}
		slashed = slashed[2:]
	}
	return strings.HasPrefix(slashed, "/")
}

// cleanDir returns dir clean, with forward slashes and no trailing one, so that a root is "" or a drive. It
// returns false for a dir that is not rooted. Unlike [path/filepath.Clean], it applies the rules of either
// system on both.
func cleanDir(windows bool, dir string) (string, bool) {
	drive := ""
	if windows {
		dir = strings.ReplaceAll(dir, `\`, "/")
	}
	if !rooted(windows, dir) {
		return "", false
	}
	if windows {
		drive, dir = dir[:2], dir[2:]
	}
	return drive + strings.TrimSuffix(path.Clean(dir), "/"), true
}

// lower maps only ASCII letters. [strings.EqualFold] also treats the Kelvin sign as a k, which no file system
// does.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
