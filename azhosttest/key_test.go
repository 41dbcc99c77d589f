// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// named sends a request without a key and returns the path in the agent's challenge.
func named(t *testing.T, a *azhosttest.Arc) string {
	t.Helper()
	resp, err := do(t, memory{a}, t.Context(), good)
	require.NoError(t, err)
	require.Equal(t, 401, resp.StatusCode)
	path, ok := strings.CutPrefix(resp.Header.Get("WWW-Authenticate"), "Basic realm=")
	require.True(t, ok)
	require.Equal(t, a.KeyDirectory(), filepath.Dir(path))
	require.Equal(t, ".key", filepath.Ext(path))
	return path
}

// prove sends a request with a key and returns the status.
func prove(t *testing.T, a *azhosttest.Arc, key string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.InMemory().Endpoint+good, nil)
	require.NoError(t, err)
	req.Header.Set("Metadata", "true")
	req.Header.Set("Authorization", "Basic "+key)
	resp, err := a.Do(req)
	require.NoError(t, err)
	return resp.StatusCode
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestKeyLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := azhosttest.NewArc(t)
		for _, test := range []struct {
			name   string
			life   time.Duration
			wait   time.Duration
			before func(*azhosttest.Arc)
			status int
		}{
			{"at once", time.Minute, 0, nil, 200},
			{"at the limit", time.Minute, time.Minute, nil, 200},
			{"past the limit", time.Minute, time.Minute + time.Nanosecond, nil, 401},
			{"past another limit", time.Second, time.Second + time.Nanosecond, nil, 401},
			{"after a restart", time.Minute, 0, (*azhosttest.Arc).Restart, 401},
			{"rejected", time.Minute, 0, func(a *azhosttest.Arc) { a.RefuseKeys(1) }, 401},
			{"accepted again", time.Minute, 0, nil, 200},
		} {
			a.SetKeyLifetime(test.life)
			path := named(t, a)
			key := content(t, path)
			time.Sleep(test.wait)
			if test.before != nil {
				test.before(a)
			}
			require.Equal(t, test.status, prove(t, a, key), test.name)
			require.NoFileExists(t, path, test.name)
			require.Equal(t, 401, prove(t, a, key), test.name)
		}
		for _, r := range a.Requests() {
			require.Contains(t, []string{"", "[removed]"}, r.Header.Get("Authorization"))
		}
	})
}

func TestKeyPerChallenge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := azhosttest.NewArc(t)
		first, second := named(t, a), named(t, a)
		require.NotEqual(t, first, second)
		require.NotEqual(t, content(t, first), content(t, second))
		if runtime.GOOS != "windows" {
			info, err := os.Stat(first)
			require.NoError(t, err)
			require.Equal(t, fs.FileMode(0o640), info.Mode())
		}
		require.Equal(t, 200, prove(t, a, content(t, second)))
		require.Equal(t, 200, prove(t, a, content(t, first)))

		expired := named(t, a)
		time.Sleep(time.Minute)
		named(t, a)
		require.FileExists(t, expired)
		time.Sleep(time.Nanosecond)
		last := named(t, a)
		require.NoFileExists(t, expired)

		a.Close()
		require.NoFileExists(t, last)
		entries, err := os.ReadDir(a.KeyDirectory())
		require.NoError(t, err)
		require.Empty(t, entries)
	})
}

func TestKeyFaults(t *testing.T) {
	t.Parallel()
	a := azhosttest.NewArc(t)
	a.SetKeyFault(azhosttest.KeyMissing)
	require.NoFileExists(t, named(t, a))

	a.SetKeyFault(azhosttest.KeyEmpty)
	require.Empty(t, content(t, named(t, a)))

	a.SetKeyFault(azhosttest.KeyTooLarge)
	require.Len(t, content(t, named(t, a)), 4097)

	a.SetKeyFault(azhosttest.KeyLate)
	late := named(t, a)
	require.NoFileExists(t, late)
	require.Equal(t, late, named(t, a))
	require.Equal(t, 200, prove(t, a, content(t, late)))
	late = named(t, a)
	require.NoFileExists(t, late)

	a.SetKeyFault(azhosttest.KeyGood)
	require.NotEqual(t, late, named(t, a))
	require.Equal(t, 200, prove(t, a, content(t, named(t, a))))
}

func TestKeyUnreadable(t *testing.T) {
	t.Parallel()
	a := azhosttest.NewArc(t)
	a.SetKeyFault(azhosttest.KeyUnreadable)
	info, err := os.Stat(named(t, a))
	require.NoError(t, err)
	_, err = getToken(t, a.InMemory())
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		require.NoError(t, err) // mode 0 has no effect here
		return
	}
	require.Zero(t, info.Mode().Perm())
	require.True(t, errors.Is(err, fs.ErrPermission), "%v", err)
	a.RequireRequests(t, 2)
}

func TestSetChallenge(t *testing.T) {
	t.Parallel()
	a := azhosttest.NewArc(t)
	var path string
	a.SetChallenge(func(keyPath string) []string {
		path = keyPath
		a.RequestCount() // a callback may call the host's methods
		return []string{"Negotiate x", `Basic realm="` + keyPath + `"`}
	})
	resp, err := do(t, memory{a}, t.Context(), good)
	require.NoError(t, err)
	require.Equal(t, []string{"Negotiate x", `Basic realm="` + path + `"`}, resp.Header.Values("WWW-Authenticate"))
	require.NotEmpty(t, content(t, path))
	a.SetChallenge(nil)
	named(t, a)
}

func TestKeyDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "keys")
	a, err := azhosttest.ListenArc("127.0.0.1:0", dir)
	require.NoError(t, err)
	defer a.Close()
	_, err = getToken(t, a.Options())
	require.NoError(t, err)

	require.NoError(t, os.Remove(dir))
	o := a.Options()
	o.Retry.MaxRetries = -1
	_, err = getToken(t, o)
	require.ErrorContains(t, err, "The key file could not be written")
	require.NoError(t, os.Mkdir(dir, 0o700))
	a.Close()
	require.DirExists(t, dir)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = azhosttest.ListenArc("127.0.0.1:0", file)
	require.Error(t, err)
}

func TestArcSelectors(t *testing.T) {
	t.Parallel()
	system, a := azhosttest.SystemAssigned(), azhosttest.UserAssigned("a")
	for _, test := range []struct {
		name       string
		identities []azhosttest.Identity
		old        bool
		query      string
		status     int
		oid        string
		echo       string
	}{
		{"none", []azhosttest.Identity{a, system}, false, "", 200, system.ObjectID, ""},
		{"client ID in capitals", []azhosttest.Identity{system, a}, false, "&client_id=" + strings.ToUpper(a.ClientID), 200, a.ObjectID, "client_id"},
		{"object ID", []azhosttest.Identity{system, a}, false, "&object_id=" + a.ObjectID, 200, a.ObjectID, "object_id"},
		{"resource ID", []azhosttest.Identity{system, a}, false, "&msi_res_id=" + a.ResourceID, 200, a.ObjectID, "msi_res_id"},
		{"the other spelling is ignored", []azhosttest.Identity{system, a}, false, "&mi_res_id=" + a.ResourceID, 200, system.ObjectID, ""},
		{"an old agent ignores selectors", []azhosttest.Identity{system, a}, true, "&client_id=" + a.ClientID, 200, system.ObjectID, ""},
		{"unknown", []azhosttest.Identity{system, a}, false, "&client_id=x", 404, "", ""},
		{"blank", []azhosttest.Identity{system, a}, false, "&msi_res_id=", 404, "", ""},
		{"no fallback to the only identity", []azhosttest.Identity{a}, false, "", 404, "", ""},
		{"two", []azhosttest.Identity{system, a}, false, "&client_id=x&object_id=y", 400, "", ""},
		{"old api-version", []azhosttest.Identity{system}, false, "&api-version=2019-08-01", 400, "", ""},
		{"no date", []azhosttest.Identity{system}, false, "&api-version=latest", 400, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			arc := azhosttest.NewArc(t)
			arc.SetIdentities(test.identities...)
			arc.IgnoreSelectors(test.old)
			query := good + test.query
			if strings.Contains(test.query, "api-version") {
				query = "?resource=https://r" + test.query
			}
			header := []string{"Metadata: true"}
			status, challenge, fields := get(t, arc.Endpoint(), query[1:], header...)
			if status == 401 {
				key := content(t, strings.TrimPrefix(challenge.Get("WWW-Authenticate"), "Basic realm="))
				status, _, fields = get(t, arc.Endpoint(), query[1:], append(header, "Authorization: Basic "+key)...)
			}
			require.Equal(t, test.status, status)
			switch status {
			case 200:
				claims, err := arc.Verify(text(fields["access_token"]))
				require.NoError(t, err)
				require.Equal(t, test.oid, claims["oid"])
				for _, name := range []string{"client_id", "object_id", "msi_res_id", "mi_res_id"} {
					require.Equal(t, name == test.echo, fields[name] != nil, name)
				}
			case 404:
				require.Equal(t, "identity_not_found", fields["error"])
				require.Equal(t, []any{404.0}, fields["error_codes"])
			}
		})
	}
}

func TestConcurrentExchanges(t *testing.T) {
	t.Parallel()
	a := azhosttest.NewArc(t)
	errs := make(chan error, 20)
	for range cap(errs) {
		cred := unshared(t, a.Options())
		go func() { errs <- report(t.Context(), cred) }()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	a.RequireRequests(t, 40)
}
