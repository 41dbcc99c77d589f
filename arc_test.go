// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestArcExchange(t *testing.T) {
	for _, test := range []struct {
		name     string
		id       azhost.ManagedIDKind
		selector string
	}{
		{"system-assigned", nil, ""},
		{"client ID", azhost.ClientID(azhosttest.UserAssigned("a").ClientID), "client_id"},
		{"object ID", azhost.ObjectID(azhosttest.UserAssigned("a").ObjectID), "object_id"},
		{"resource ID", azhost.ResourceID(azhosttest.UserAssigned("a").ResourceID), "msi_res_id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := azhosttest.NewArc(t)
			a.SetIdentities(azhosttest.SystemAssigned(), azhosttest.UserAssigned("a"))
			cred := onArc(t, a, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = test.id })
			tk, err := token(t.Context(), cred)
			require.NoError(t, err)
			claims, err := a.Verify(tk.Token)
			require.NoError(t, err)
			require.Equal(t, vault, claims["aud"])

			a.RequireRequests(t, 2)
			first, second := a.Requests()[0], a.Requests()[1]
			require.Equal(t, 401, first.Status)
			require.Empty(t, first.Header.Get("Authorization"))
			require.Equal(t, 200, second.Status)
			require.Equal(t, "[removed]", second.Header.Get("Authorization"))
			for _, r := range []azhosttest.Request{first, second} {
				require.Equal(t, "GET", r.Method)
				require.Equal(t, "true", r.Header.Get("Metadata"))
				require.Equal(t, []string{"2020-06-01"}, r.Query["api-version"])
				require.Equal(t, []string{vault}, r.Query["resource"])
				if test.selector == "" {
					require.Len(t, r.Query, 2)
				} else {
					require.Equal(t, []string{test.id.String()}, r.Query[test.selector])
					require.Len(t, r.Query, 3)
				}
			}
		})
	}
}

func TestArcResponseIdentity(t *testing.T) {
	asked := azhosttest.UserAssigned("a")
	for _, test := range []struct {
		name string
		id   azhost.ManagedIDKind
		edit func(fields map[string]any)
		ok   bool
	}{
		{"the same in another case", azhost.ClientID(asked.ClientID), func(f map[string]any) { f["client_id"] = strings.ToUpper(asked.ClientID) }, true},
		{"resource ID in the other spelling", azhost.ResourceID(asked.ResourceID), func(f map[string]any) {
			delete(f, "msi_res_id")
			f["mi_res_id"] = asked.ResourceID
		}, true},
		{"another", azhost.ClientID(asked.ClientID), func(f map[string]any) { f["client_id"] = "22222222" }, false},
		{"none", azhost.ClientID(asked.ClientID), func(f map[string]any) { delete(f, "client_id") }, false},
		{"blank", azhost.ObjectID(asked.ObjectID), func(f map[string]any) { f["object_id"] = "" }, false},
		{"another kind of ID", azhost.ResourceID(asked.ResourceID), func(f map[string]any) { delete(f, "msi_res_id") }, false},
		{"not a string", azhost.ObjectID(asked.ObjectID), func(f map[string]any) { f["object_id"] = 7 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := azhosttest.NewArc(t)
			a.SetIdentities(asked)
			a.EditResponse(test.edit)
			cred := onArc(t, a, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = test.id })
			tk, err := token(t.Context(), cred)
			if test.ok {
				require.NoError(t, err)
				return
			}
			requireFailed(t, err)
			require.Zero(t, tk)
		})
	}
}

func TestOldArcAgentIgnoresSelectors(t *testing.T) {
	a := azhosttest.NewArc(t)
	a.SetIdentities(azhosttest.SystemAssigned(), azhosttest.UserAssigned("a"))
	a.IgnoreSelectors(true)
	cred := onArc(t, a, func(o *azhost.ManagedIdentityCredentialOptions) {
		o.ID = azhost.ResourceID(azhosttest.UserAssigned("a").ResourceID)
	})
	_, err := token(t.Context(), cred)
	requireFailed(t, err)
	require.ErrorContains(t, err, "too old to select")
}

func TestArcKeyFailures(t *testing.T) {
	for _, test := range []struct {
		name     string
		trouble  func(*azhosttest.Arc)
		ok       bool
		requests int
		want     string
	}{
		{"the key is late", func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyLate) }, true, 3, ""},
		{"the key is missing", func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyMissing) }, false, 3, "ArcKeyDirectory"},
		{"the key is empty", func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyEmpty) }, false, 3, "is empty"},
		{"the key is too large", func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyTooLarge) }, false, 1, "larger than 4096 bytes"},
		{"key rejected once", func(a *azhosttest.Arc) { a.RefuseKeys(1) }, true, 4, ""},
		{"key rejected twice", func(a *azhosttest.Arc) { a.RefuseKeys(2) }, true, 6, ""},
		{"key always rejected", func(a *azhosttest.Arc) { a.RefuseKeys(1000) }, false, 6, "rejected its own key"},
		{"key expires at once", func(a *azhosttest.Arc) { a.SetKeyLifetime(-1) }, false, 6, "rejected its own key"},
		{"outside the directory", realm(filepath.Join(filepath.Dir(os.TempDir()), "passwd.key")), false, 1, "not in the agent's key directory"},
		{"a path for another system", realm(map[bool]string{false: `C:\ProgramData\a.key`, true: "/var/opt/a.key"}[runtime.GOOS == "windows"]), false, 1, "not absolute"},
		{"the key directory is missing", func(a *azhosttest.Arc) {
			a.SetKeyFault(azhosttest.KeyMissing)
			_ = os.Remove(a.KeyDirectory())
		}, false, 3, "ArcKeyDirectory"},
		{"a path with ..", func(a *azhosttest.Arc) {
			a.SetChallenge(func(path string) []string {
				return []string{"Basic realm=" + filepath.Dir(path) + "/../x/" + filepath.Base(path)}
			})
		}, false, 1, "not in the agent's key directory"},
		{"no challenge", func(a *azhosttest.Arc) { a.SetChallenge(func(string) []string { return nil }) }, false, 1, "no WWW-Authenticate header"},
		{"another scheme", func(a *azhosttest.Arc) { a.SetChallenge(func(string) []string { return []string{"Bearer realm=x"} }) }, false, 1, "not a single Basic challenge"},
		{"a realm of 1 MiB", realm(strings.Repeat("x", 1<<20)), false, 1, "more than 8192 bytes"},
		{"NUL", realm("/x\x00.key"), false, 1, "printable ASCII"},
		{"quoted", func(a *azhosttest.Arc) {
			a.SetChallenge(func(path string) []string { return []string{`basic  Realm="` + path + `", charset="UTF-8"`} })
		}, true, 2, ""},
		{"two headers", func(a *azhosttest.Arc) {
			a.SetChallenge(func(path string) []string {
				return []string{`Negotiate abc==`, `BASIC realm=` + path}
			})
		}, false, 1, "more than one WWW-Authenticate header"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := azhosttest.NewArc(t)
				test.trouble(a)
				tk, err := token(t.Context(), onArc(t, a))
				if test.ok {
					require.NoError(t, err)
					_, err = a.Verify(tk.Token)
					require.NoError(t, err)
				} else {
					requireFailed(t, err)
					require.ErrorContains(t, err, test.want)
					require.Less(t, len(err.Error()), 1500)
				}
				a.RequireRequests(t, test.requests)
			})
		})
	}
}

func realm(path string) func(*azhosttest.Arc) {
	return func(a *azhosttest.Arc) {
		a.SetChallenge(func(string) []string { return []string{"Basic realm=" + path} })
	}
}

func TestArcKeyIsTrimmed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k.key")
	require.NoError(t, os.WriteFile(path, []byte("the-key\r\n \t\n"), 0o600))
	var got string
	w := always(func(req *http.Request) (*http.Response, error) {
		if got = req.Header.Get("Authorization"); got == "" {
			return answer(401, "", "WWW-Authenticate: Basic realm="+path)(req)
		}
		return goodToken(req)
	})
	cred, err := azhost.NewManagedIdentityCredential(arcOptions(w, dir))
	require.NoError(t, err)
	_, err = token(t.Context(), cred)
	require.NoError(t, err)
	require.Equal(t, "Basic the-key", got)
}

func TestArcStatuses(t *testing.T) {
	for _, test := range []struct {
		name     string
		fault    azhosttest.Fault
		times    int
		ok       bool
		requests int
	}{
		{"500 for both requests", azhosttest.ServerError(), 2, true, 4},
		{"429 with Retry-After", azhosttest.Throttled(20 * time.Second), 1, true, 3},
		{"always 503", azhosttest.Fault{Status: 503}, 100, false, 4},
		{"404 is final", azhosttest.Fault{Status: 404}, 100, false, 1},
		{"400 is final", azhosttest.Fault{Status: 400}, 100, false, 1},
		{"410 is final", azhosttest.Updating(), 100, false, 1},
		{"dropped", azhosttest.Fault{Drop: true}, 2, true, 4},
		{"a truncated response", azhosttest.Fault{Cut: true, Status: 500, Body: "12345678"}, 1, true, 3},
		{"200 without a challenge", azhosttest.Portal(), 100, false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := azhosttest.NewArc(t)
				for range test.times {
					a.Fail(test.fault)
				}
				_, err := token(t.Context(), onArc(t, a))
				if test.ok {
					require.NoError(t, err)
				} else {
					requireFailed(t, err)
				}
				a.RequireRequests(t, test.requests)
			})
		})
	}
}

func TestArcAgentRestartsDuringExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := azhosttest.NewArc(t)
		restarted := false
		o := a.InMemory()
		agent := o.Transport
		o.Transport = always(func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Authorization") != "" && !restarted {
				restarted = true
				a.Restart()
				return refusedDial(req)
			}
			return agent.Do(req)
		})
		cred, err := azhost.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		_, err = token(t.Context(), cred)
		require.NoError(t, err)
		a.RequireRequests(t, 3) // a challenge before the restart, and an exchange after it
	})
}

func TestArcAgentStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := azhosttest.NewArc(t)
		a.Stop()
		moveOn := errors.New("move on")
		cred := onArc(t, a, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.UnavailableError = func(string) error { return moveOn }
		})
		_, err := token(t.Context(), cred)
		requireUnavailable(t, err)
		require.ErrorIs(t, err, moveOn)
		require.ErrorContains(t, err, "Start the Arc agent")

		time.Sleep(2 * time.Second)
		require.NoError(t, a.Start())
		_, err = token(t.Context(), cred)
		require.NoError(t, err)
	})
}

func TestArcIdentityNotAssigned(t *testing.T) {
	a := azhosttest.NewArc(t)
	cred := onArc(t, a, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ClientID("11111111") })
	_, err := token(t.Context(), cred)
	require.Equal(t, 404, requireFailed(t, err).RawResponse.StatusCode)
	require.ErrorContains(t, err, `identity with client ID "11111111" is assigned to this server`)
	a.RequireRequests(t, 2)
}
