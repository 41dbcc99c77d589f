// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"runtime"
	"strings"

	"github.com/azhost/azhost/internal/keyfile"
)

// maxChallenge bounds the WWW-Authenticate headers of one answer, in bytes. An agent's is one path long.
const maxChallenge = 8 << 10

// readKey returns the key that an Arc agent's challenge names. The agent writes its keys to
// agentDir, which may be "" where that is not known; mountedDir is where this program finds them
// instead, or "". Whoever sent the challenge may not be the agent: only a key file directly in one
// of the two directories is read.
func readKey(header http.Header, agentDir, mountedDir string) (string, error) {
	realm, err := challengeRealm(header.Values("WWW-Authenticate"))
	if err != nil {
		return "", fmt.Errorf("the challenge cannot be answered: %w", err)
	}
	name, err := keyfile.Name(realm, agentDir, mountedDir)
	if err != nil {
		return "", fmt.Errorf("the challenge names a file that is not read: %w (%s)", err, expected(agentDir, mountedDir))
	}
	// The agent names the file by its own path, whatever a container calls that directory.
	key, err := keyfile.Read(cmp.Or(mountedDir, agentDir), name)
	if err != nil {
		return "", fmt.Errorf("read the challenge's key: %w%s", err, remedy(runtime.GOOS, err, mountedDir != ""))
	}
	return key, nil
}

// expected says which key files are read.
func expected(agentDir, mountedDir string) string {
	if agentDir == "" && mountedDir == "" {
		return "which is not known on this system: set ArcKeyDirectory"
	}
	return fmt.Sprintf("only a .key file directly in %.200q is; something other than the agent may have answered",
		cmp.Or(agentDir, mountedDir))
}

// remedy says what to do about a key file that could not be read on goos.
func remedy(goos string, err error, mounted bool) string {
	group, windows := keyfile.Group(goos), goos == "windows"
	switch missing := errors.Is(err, fs.ErrNotExist); {
	case group == "":
		return ""
	case mounted && missing:
		return "; mount the directory that the agent writes its keys to at ArcKeyDirectory"
	case mounted && errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("; the keys are readable by the host's group %q: run the container with that group's numeric id, or as root", group)
	case windows && (missing || errors.Is(err, fs.ErrPermission)):
		// To an account outside the group, Windows may report a missing directory.
		return fmt.Sprintf("; run as an administrator, or add this account to the local group %q and sign in again (restart a service)", group) +
			"; in a container, mount the agent's key directory and set ArcKeyDirectory"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("; run as root, or add this user to the group %[1]s (sudo usermod -aG %[1]s <user>) and log in again (restart a service)", group)
	case missing:
		return "; in a container, mount the agent's key directory and set ArcKeyDirectory"
	}
	return ""
}

// challengeRealm returns the realm of the first Basic challenge among a response's
// WWW-Authenticate header values. It is printable ASCII and not empty.
func challengeRealm(values []string) (string, error) {
	size := 0
	for _, v := range values {
		if size += len(v); size > maxChallenge {
			return "", fmt.Errorf("WWW-Authenticate has more than %d bytes", maxChallenge)
		}
		if strings.ContainsFunc(v, func(r rune) bool { return r != '\t' && (r < ' ' || r > '~') }) {
			return "", errors.New("WWW-Authenticate has a character that is not printable ASCII")
		}
	}
	var schemes []string
	for _, v := range values {
		challenges, err := parseChallenges(v)
		if err != nil {
			return "", err
		}
		for _, c := range challenges {
			if strings.EqualFold(c.scheme, "Basic") {
				return c.realm()
			}
			schemes = append(schemes, c.scheme)
		}
	}
	if len(schemes) == 0 {
		return "", errors.New("there is no WWW-Authenticate challenge")
	}
	return "", fmt.Errorf("WWW-Authenticate has no Basic challenge, only %.200q", strings.Join(schemes, ", "))
}

// challenge is one challenge of RFC 7235, section 2.1.
type challenge struct {
	scheme string
	realms []string
}

func (c challenge) realm() (string, error) {
	switch {
	case len(c.realms) == 0:
		return "", errors.New("the Basic challenge has no realm")
	case len(c.realms) > 1:
		return "", errors.New("the Basic challenge has more than one realm")
	case c.realms[0] == "":
		return "", errors.New("the Basic challenge's realm is empty")
	case strings.Contains(c.realms[0], "\t"):
		return "", errors.New("the Basic challenge's realm has a tab")
	}
	return c.realms[0], nil
}

const (
	blanks = " \t"
	// tokenChars are what a scheme or a parameter's name consists of.
	tokenChars = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// parseChallenges reads one header value. Commas separate challenges as well as the parameters of
// one; what follows a comma is a parameter if "=" comes after its first word, else a scheme.
func parseChallenges(value string) (list []challenge, err error) {
	for s := strings.TrimLeft(value, blanks+","); s != ""; s = strings.TrimLeft(s, blanks+",") {
		at := s
		name, rest, isParam := cutName(s)
		if !isParam {
			if name == "" || rest != "" && !strings.ContainsAny(rest[:1], blanks+",") {
				return nil, malformed(at)
			}
			list = append(list, challenge{scheme: name})
			s = strings.TrimLeft(rest, blanks)
			if name, rest, isParam = cutName(s); !isParam {
				if _, s, err = cutBare(s); err != nil { // a token, such as Negotiate's, or nothing
					return nil, err
				}
				continue
			}
		}
		if len(list) == 0 {
			return nil, malformed(at)
		}
		var v string
		if strings.HasPrefix(rest, `"`) {
			v, s, err = cutQuoted(rest)
		} else {
			v, s, err = cutBare(rest)
		}
		if err != nil {
			return nil, err
		}
		if c := &list[len(list)-1]; strings.EqualFold(name, "realm") {
			c.realms = append(c.realms, v)
		}
	}
	return list, nil
}

// cutName splits s after its first word, and after the "=" that follows the name of a parameter.
func cutName(s string) (name, rest string, isParam bool) {
	rest = strings.TrimLeft(s, tokenChars)
	name = s[:len(s)-len(rest)]
	if after, ok := strings.CutPrefix(strings.TrimLeft(rest, blanks), "="); ok && name != "" {
		return name, strings.TrimLeft(after, blanks), true
	}
	return name, rest, false
}

// cutBare splits s at its first comma. RFC 7235 wants a token here, but the agent sends its path
// without quotes, which may hold anything but a comma and a quote.
func cutBare(s string) (value, rest string, err error) {
	value, rest, _ = strings.Cut(s, ",")
	if strings.Contains(value, `"`) {
		return "", "", malformed(s)
	}
	return strings.TrimRight(value, blanks), rest, nil
}

// cutQuoted splits s after the quoted string that it begins with. A backslash is taken away only
// from another one and from a quote: RFC 7235 would take it from any character, and so turn the
// path C:\ProgramData of a sender that quotes without escaping into C:ProgramData.
func cutQuoted(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			rest = strings.TrimLeft(s[i+1:], blanks)
			if rest != "" && rest[0] != ',' {
				return "", "", malformed(s)
			}
			return b.String(), rest, nil
		case c == '\\' && i+1 < len(s) && (s[i+1] == '\\' || s[i+1] == '"'):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", malformed(s)
}

func malformed(at string) error {
	return fmt.Errorf("WWW-Authenticate is malformed at %.200q", at)
}
