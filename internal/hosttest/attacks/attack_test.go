// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package attacks

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// canary is the content of the files that an attacker requests. It must never be sent.
const canary = "canary-of-this-test"

type attack struct {
	name   string
	answer func(io.Writer)
	want   string // part of the error
}

// attacksOn returns the attacks that work on every system, and fills the key directory for them.
// attacksHere has those of one system.
func attacksOn(t *testing.T, dir string) []attack {
	outside := filepath.Join(t.TempDir(), "shadow.key")
	sub := filepath.Join(dir, "sub")
	large := filepath.Join(dir, "large.key")
	binary := filepath.Join(dir, "binary.key")
	good := filepath.Join(dir, "good.key")
	require.NoError(t, os.Mkdir(sub, 0o700))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder.key"), 0o700))
	for path, content := range map[string]string{
		outside: canary, filepath.Join(sub, "a.key"): canary, filepath.Join(dir, "a.txt"): canary, good: canary,
		large: canary + strings.Repeat("x", 4097-len(canary)), binary: canary + "\x00",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	const up = string(filepath.Separator) + ".." + string(filepath.Separator)
	return append(attacksHere(t, dir, outside),
		attack{"a path elsewhere", challenging(outside), "not in the agent's key directory"},
		attack{"a path elsewhere by ..", challenging(sub + up + "good.key"), "not in the agent's key directory"},
		attack{"a sub-folder", challenging(filepath.Join(sub, "a.key")), "not in the agent's key directory"},
		attack{"a relative path", challenging("good.key"), "not absolute"},
		attack{"another suffix", challenging(filepath.Join(dir, "a.txt")), "does not end in"},
		attack{"no name", challenging(filepath.Join(dir, ".key")), "begins with"},
		attack{"a directory", challenging(filepath.Join(dir, "folder.key")), "not a regular file"},
		attack{"4,097 bytes", challenging(large), "larger than 4096"},
		attack{"a file without a key", challenging(binary), "does not hold a key"},
		attack{"NUL", challenging(good + "\x00.key"), ""}, // rejected by net/http or azhost
		attack{"an escape sequence", challenging("\x1b[2J" + good), ""},
		attack{"a second line", challenging(good + "\r\n .key"), ""},
		attack{"a folded header", challenging(outside + "\r\n\tx.key"), ""},
		attack{"two realms", challenging(outside + ", realm=" + good), "not a single Basic challenge"},
		attack{"a realm of 60 KiB", challenging("/" + strings.Repeat("x", 60<<10)), "more than 8192 bytes"},
		attack{"a realm of a megabyte", challenging("/" + strings.Repeat("x", 1<<20)), "exceeded"},
		attack{"headers that never end", func(w io.Writer) {
			_, err := io.WriteString(w, "HTTP/1.1 401 Unauthorized\r\n")
			for n := 0; err == nil; n++ {
				_, err = fmt.Fprintf(w, "X-%d: %s\r\n", n, strings.Repeat("x", 1000))
			}
		}, "exceeded"},
		attack{"a header line that never ends", func(w io.Writer) {
			_, err := io.WriteString(w, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=")
			for err == nil {
				_, err = io.WriteString(w, strings.Repeat("x", 1000))
			}
		}, "exceeded"},
		attack{"informational responses that never end", func(w io.Writer) {
			var err error
			for err == nil {
				_, err = io.WriteString(w, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
			}
		}, "exceeded"},
		attack{"a body that never ends", func(w io.Writer) {
			_, err := io.WriteString(w, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="+good+"\r\n\r\n")
			for err == nil {
				_, err = w.Write(make([]byte, 1<<16))
			}
		}, "larger than 1 MiB"},
		attack{"a gzip bomb", says("HTTP/1.1 500 x\r\nContent-Encoding: gzip\r\n\r\n" + bomb(t)), "500 Internal Server Error. Run"},
		attack{"a redirect", says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.2:1/" + "\r\nContent-Length: 0\r\n\r\n"), "refusing to follow a redirect"},
		attack{"a switch of protocols", says("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), ""},
		attack{"a token without a challenge", says("HTTP/1.1 200 OK\r\n\r\n" + `{"access_token":"x","expires_in":"3600"}`), "without a challenge"},
		attack{"not HTTP", says(strings.Repeat("\x00", 100)), "malformed"},
		attack{"nothing", says(""), "EOF"},
	)
}

// bomb returns 2 MiB of zeros, compressed to a few KiB. azhost reads at most 1 MiB of a response.
func bomb(t *testing.T) string {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	require.NoError(t, err)
	_, err = w.Write(make([]byte, 2<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// TestAttacks checks that azhost sends nothing of any file, and sends only one request.
func TestAttacks(t *testing.T) {
	dir := t.TempDir()
	for _, test := range attacksOn(t, dir) {
		t.Run(test.name, func(t *testing.T) {
			a := newAttacker(t, test.answer)
			tk, err := token(t.Context(), a.victim(t, dir))
			requireFailed(t, err)
			require.Zero(t, tk)
			require.ErrorContains(t, err, test.want)
			require.NotContains(t, err.Error(), canary)
			require.NotRegexp(t, `[\x00-\x08\x0b-\x1f\x7f]`, err.Error(), "the error has control characters, which could reach a terminal")
			require.Less(t, len(err.Error()), 2000)
			require.Len(t, a.accepted, 1, "more than one request")
			require.Contains(t, a.heard.String(), "GET /token/")
			require.NotContains(t, a.heard.String(), "Authorization")
			require.NotContains(t, a.heard.String(), canary)
		})
	}
	t.Run("a valid key", func(t *testing.T) {
		answers := []func(io.Writer){challenging(filepath.Join(dir, "good.key")), says("HTTP/1.1 500 x\r\n\r\n")}
		a := newAttacker(t, func(w io.Writer) {
			answers[0](w)
			answers = answers[1:]
		})
		_, err := token(t.Context(), a.victim(t, dir))
		requireFailed(t, err)
		require.Contains(t, a.heard.String(), "Authorization: Basic "+canary, "the test doesn't notice a key that is sent")
	})
}

// TestAttacksLeaveNothing counts what three rounds of all attacks leave behind.
func TestAttacksLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	attacks := attacksOn(t, dir)
	round := func() {
		for _, test := range attacks {
			a := newAttacker(t, test.answer)
			_, err := token(t.Context(), a.victim(t, dir))
			requireFailed(t, err)
			a.close()
		}
	}
	round()                                          // the first round may start goroutines of the runtime
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // garbage collection would close leaked files
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for range 3 {
		round()
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+1 }, // one is Eventually's
		10*time.Second, 10*time.Millisecond, "goroutines were left behind")
	require.Eventually(t, func() bool { return openFiles(t) <= files }, // net/http closes its files later
		10*time.Second, 10*time.Millisecond, "files or sockets were left behind")
}

// TestSlowResponse checks that each attempt ends at its deadline, and the request at the flight's.
func TestSlowResponse(t *testing.T) {
	for _, source := range []azhost.Source{azhost.SourceIMDS, azhost.SourceAzureArc} {
		t.Run(string(source), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := arcOptions(always(func(req *http.Request) (*http.Response, error) {
					resp, err := answer(401, "")(req)
					resp.Body = io.NopCloser(trickle{req.Context()})
					return resp, err
				}), t.TempDir())
				o.Source = source
				cred, err := azhost.NewManagedIdentityCredential(o)
				require.NoError(t, err)
				start := time.Now()
				_, err = token(t.Context(), cred)
				require.Error(t, err)
				require.LessOrEqual(t, time.Since(start), 3*time.Minute)
			})
		})
	}
}

// trickle is an endless body of one byte a second.
type trickle struct{ ctx context.Context }

func (b trickle) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(p, "x"), nil
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

// TestGzipIsNotDecompressed checks both responses of an exchange.
func TestGzipIsNotDecompressed(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "k.key")
	require.NoError(t, os.WriteFile(key, []byte("key"), 0o600))
	var asked []string
	w := &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
		asked = append(asked, req.Header.Get("Accept-Encoding"))
		if n == 1 {
			return answer(401, bomb(t), "Content-Encoding: gzip", "WWW-Authenticate: Basic realm="+key)(req)
		}
		return answer(200, bomb(t), "Content-Encoding: gzip")(req)
	}}
	cred, err := azhost.NewManagedIdentityCredential(arcOptions(w, dir))
	require.NoError(t, err)
	_, err = token(t.Context(), cred)
	requireFailed(t, err)
	require.ErrorContains(t, err, "not valid JSON")
	require.Equal(t, []string{"", ""}, asked)
}

// TestMalformedResponseIsTruncated checks that errors quote only part of a response that net/http can't
// parse and quotes whole.
func TestMalformedResponseIsTruncated(t *testing.T) {
	for name, raw := range map[string]string{
		"not HTTP":    strings.Repeat("\x01", 20000) + "\r\n\r\n",
		"a status":    "HTTP/1.1 " + strings.Repeat("z", 20000) + "\r\n\r\n",
		"a header":    "HTTP/1.1 200 OK\r\n: " + strings.Repeat("z", 20000) + "\r\n\r\n",
		"a length":    "HTTP/1.1 200 OK\r\nContent-Length: 1" + strings.Repeat("z", 20000) + "\r\n\r\n",
		"an encoding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + strings.Repeat("z", 20000) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			a := newAttacker(t, says(raw))
			_, err := token(t.Context(), a.victim(t, t.TempDir()))
			requireFailed(t, err)
			require.Less(t, len(err.Error()), 1500)
		})
	}
}
