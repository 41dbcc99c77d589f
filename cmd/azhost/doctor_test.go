// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

const arcAddress = "http://127.0.0.1:40342/metadata/identity/oauth2/token"

func TestDoctor(t *testing.T) {
	type stage struct {
		facts     facts
		transport http.RoundTripper
		args      []string
		keys      string
	}
	arc := func(t *testing.T, s *stage) *azhosttest.Arc {
		arc := azhosttest.NewArc(t)
		s.transport, s.keys = wire(arc.Do), arc.KeyDirectory()
		s.args = []string{"--source", "AzureArc", "--endpoint", arcAddress, "--arc-key-directory", s.keys}
		return arc
	}
	vm := func(t *testing.T, s *stage) *azhosttest.VM {
		vm := azhosttest.NewVM(t)
		s.transport, s.facts.azureVM = wire(vm.Do), true
		return vm
	}
	// on puts the stage on a platform, over loopback: Service Fabric's certificate is checked.
	on := func(t *testing.T, s *stage, host interface{ Setenv(testing.TB) }) {
		host.Setenv(t)
		s.facts, s.transport = laptop(), nil
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		code int
		set  func(*testing.T, *stage)
	}{
		{"laptop", nil, exitUnavailable, func(*testing.T, *stage) {}},
		{"vm", nil, exitOK, func(t *testing.T, s *stage) { vm(t, s) }},
		{"vm-user-assigned-unasked", nil, exitOK, func(t *testing.T, s *stage) {
			vm(t, s).SetIdentities(azhosttest.UserAssigned("reports"))
		}},
		{"vm-opaque-token", nil, exitOK, func(t *testing.T, s *stage) {
			vm(t, s).EditResponse(func(fields map[string]any) { fields["access_token"] = "opaque" })
		}},
		{"vm-refuses-the-resource", nil, exitFailed, func(t *testing.T, s *stage) { vm(t, s).AllowResources(vault) }},
		{"vm-clock", nil, exitOK, func(t *testing.T, s *stage) {
			vm(t, s).SetClaims(map[string]any{"iat": time.Now().Add(6 * time.Minute).Unix()})
		}},
		{"impostor", nil, exitUnavailable, func(t *testing.T, s *stage) {
			vm := azhosttest.NewVM(t)
			vm.FailUntil(time.Now().Add(time.Hour), azhosttest.Portal())
			s.transport = wire(vm.Do)
		}},
		{"arc", nil, exitOK, func(t *testing.T, s *stage) { arc(t, s) }},
		{"arc-installed", nil, exitOK, func(t *testing.T, s *stage) {
			arc(t, s)
			s.args = s.args[2:]
			s.facts.env.Himds = s.facts.himds[0]
		}},
		{"arc-by-its-variables", map[string]string{"IDENTITY_ENDPOINT": arcAddress, "IMDS_ENDPOINT": "http://127.0.0.1:40342"}, exitOK, func(t *testing.T, s *stage) {
			arc(t, s)
			s.args = s.args[4:]
		}},
		{"arc-stopped", nil, exitUnavailable, func(t *testing.T, s *stage) {
			arc(t, s)
			s.transport = wire(nobody)
		}},
		{"arc-keys-missing", nil, exitFailed, func(t *testing.T, s *stage) {
			arc(t, s)
			s.keys = filepath.Join(s.keys, "elsewhere")
			s.args[len(s.args)-1] = s.keys
		}},
		{"arc-keys-unreadable", nil, exitOK, func(t *testing.T, s *stage) {
			arc(t, s)
			s.facts.list = func(dir string) error { return &fs.PathError{Op: "open", Path: dir, Err: fs.ErrPermission} }
		}},
		{"arc-keys-unreadable-on-windows", nil, exitOK, func(t *testing.T, s *stage) {
			arc(t, s)
			s.facts.goos = "windows"
			s.facts.list = func(dir string) error { return &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist} }
		}},
		{"arc-keys-broken", nil, exitOK, func(t *testing.T, s *stage) {
			arc(t, s)
			s.facts.list = func(string) error { return errors.New("input/output error") }
		}},
		{"proxies", nil, exitOK, func(t *testing.T, s *stage) {
			vm(t, s)
			s.facts.proxies = map[string]string{
				"HTTP_PROXY": "http://me:canary@proxy:3128/", "https_proxy": "me:can/ary@proxy:3128", "ALL_PROXY": "socks5://canary:@proxy", "no_proxy": "localhost",
			}
		}},
		{"proxies-exempt", nil, exitOK, func(t *testing.T, s *stage) {
			vm(t, s)
			s.facts.proxies = map[string]string{"http_proxy": "proxy:3128", "NO_PROXY": "localhost, 169.254.0.0/16"}
		}},
		{"appservice", nil, exitOK, func(t *testing.T, s *stage) { on(t, s, azhosttest.NewAppService(t)) }},
		{"servicefabric", nil, exitOK, func(t *testing.T, s *stage) { on(t, s, azhosttest.NewServiceFabric(t)) }},
		{"cloudshell", nil, exitOK, func(t *testing.T, s *stage) { on(t, s, azhosttest.NewCloudShell(t)) }},
		{"azureml-wrong-secret", nil, exitFailed, func(t *testing.T, s *stage) {
			on(t, s, azhosttest.NewAzureML(t))
			t.Setenv("MSI_SECRET", "canary")
		}},
		{"appservice-stopped", nil, exitFailed, func(t *testing.T, s *stage) {
			on(t, s, azhosttest.NewAppService(t))
			s.transport = wire(nobody)
			s.args = []string{"--timeout", "1m"}
		}},
		{"arc-hidden", map[string]string{
			"IDENTITY_ENDPOINT": arcAddress, "IMDS_ENDPOINT": "http://127.0.0.1:40342", "MSI_ENDPOINT": "http://127.0.0.1:50342/oauth2/token",
		}, exitFailed, func(_ *testing.T, s *stage) { s.args = []string{"--timeout", "1m"} }},
		{"half-set", map[string]string{"IDENTITY_HEADER": "canary", "MSI_SECRET": "canary"}, exitUnavailable, func(*testing.T, *stage) {}},
		{"elsewhere", map[string]string{"IDENTITY_ENDPOINT": "http://u:canary@10.0.0.4/x?code=canary", "IMDS_ENDPOINT": "%"}, exitFailed, func(*testing.T, *stage) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			noHost(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			s := stage{facts: laptop(), transport: wire(nobody)}
			test.set(t, &s)
			facts := func(p *process) { p.facts = func() facts { return s.facts } }
			got := do(t.Context(), s.transport, facts, append([]string{"doctor"}, s.args...)...)
			require.Equal(t, test.code, got.code, "%s%s", got.stdout, got.stderr)
			require.Empty(t, got.stderr)
			require.NotContains(t, got.stdout, "canary")
			require.NotContains(t, got.stdout, "eyJ")
			if s.keys == "" {
				s.keys = t.TempDir()
			}
			requireGolden(t, "doctor-"+test.name, got.stdout, s.keys, filepath.Dir(s.keys))

			got = do(t.Context(), s.transport, facts, append([]string{"doctor", "--json"}, s.args...)...)
			require.Equal(t, test.code, got.code)
			var found struct{ Findings []map[string]string }
			require.NoError(t, json.Unmarshal([]byte(got.stdout), &found))
			require.NotEmpty(t, found.Findings)
			for _, f := range found.Findings {
				require.Len(t, f, 4)
				require.NotEmpty(t, f["check"])
				require.NotEmpty(t, f["detail"])
				require.Contains(t, []string{"ok", "note", "bad"}, f["status"])
			}
		})
	}
}

func TestDoctorInJSON(t *testing.T) {
	noHost(t)
	got := do(t.Context(), wire(nobody), nil, "doctor", "--json")
	require.Equal(t, exitUnavailable, got.code)
	requireGolden(t, "doctor-laptop-json", got.stdout)
}

// TestDoctorOverLoopback uses what a real process does: sockets, and the facts of this machine.
func TestDoctorOverLoopback(t *testing.T) {
	noHost(t)
	t.Setenv("HTTP_PROXY", "http://me:canary@127.0.0.1:1/")
	arc := azhosttest.NewArc(t)
	args := []string{"doctor", "--source", "AzureArc", "--endpoint", arc.Endpoint(), "--arc-key-directory", arc.KeyDirectory()}
	real := func(p *process) { p.facts = readFacts }
	got := do(t.Context(), nil, real, args...)
	require.Equal(t, exitOK, got.code, got.stdout)
	require.Regexp(t, `(?m)^ok +endpoint .+ \(status 400\)$`, got.stdout)
	require.Contains(t, got.stdout, "set to http://127.0.0.1:1, where other clients")
	require.NotContains(t, got.stdout, "canary")
	arc.RequireRequests(t, 3)

	arc.Stop()
	// Another resource, because credentials of one process share their tokens, and what they know of
	// the agent: it has answered before.
	got = do(t.Context(), nil, real, append(args, "--resource", vault)...)
	require.Equal(t, exitFailed, got.code, got.stdout)
	require.Regexp(t, `(?m)^bad +endpoint .+: no answer after `, got.stdout)
}

func TestDoctorFollowsNoRedirect(t *testing.T) {
	noHost(t)
	vm := azhosttest.NewVM(t)
	vm.FailUntil(time.Now().Add(time.Hour), azhosttest.Fault{Status: 302, Header: http.Header{"Location": {"http://portal.example/login"}}})
	got := do(t.Context(), wire(vm.Do), nil, "doctor")
	require.Equal(t, exitUnavailable, got.code)
	require.Contains(t, got.stdout, "(status 302)")
	vm.RequireRequests(t, 2) // the probe and the request for a token
}

func TestList(t *testing.T) {
	require.NoError(t, list(t.TempDir()))
	require.ErrorIs(t, list(filepath.Join(t.TempDir(), "none")), fs.ErrNotExist)
}

func TestDoctorIsBounded(t *testing.T) {
	noHost(t)
	for name, slow := range map[string]func(*azhosttest.VM){
		"nothing connects": func(vm *azhosttest.VM) { vm.Silence(true) },
		"nothing answers":  func(vm *azhosttest.VM) { vm.SetLatency(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				slow(vm)
				start := time.Now()
				got := do(t.Context(), wire(vm.Do), nil, "doctor")
				require.Equal(t, exitFailed, got.code)
				require.Equal(t, doctorTimeout, time.Since(start))
				require.Contains(t, got.stdout, "no answer after 5s")
			})
		})
	}
}

func TestExempts(t *testing.T) {
	for noProxy, want := range map[string]bool{
		"": false, "localhost": false, "169.254.169.253": false, "169.254.169.254": true, "a, 169.254.169.254 ,b": true,
		"*": true, "169.254.0.0/16": true, "10.0.0.0/8": false, "169.254.169.254.example.com": false,
	} {
		require.Equal(t, want, exempts(noProxy), noProxy)
	}
}
