// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/internal/detect"
	"github.com/stretchr/testify/require"
)

const himdsPath = "/opt/azcmagent/bin/himds"

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
		s.args = []string{"--source", "AzureArc", "--endpoint", detect.ArcTokenEndpoint, "--arc-key-directory", s.keys}
		return arc
	}
	vm := func(t *testing.T, s *stage) *azhosttest.VM {
		vm := azhosttest.NewVM(t)
		s.transport, s.facts.azureVM = wire(vm.Do), true
		return vm
	}
	fail := func(host interface {
		FailUntil(time.Time, azhosttest.Fault)
	}, fault azhosttest.Fault) {
		host.FailUntil(time.Now().Add(time.Hour), fault)
	}
	// unreadable makes the agent name a key that azhost can't read.
	unreadable := func(t *testing.T, s *stage) {
		transport := s.transport
		s.transport = wire(func(req *http.Request) (*http.Response, error) {
			resp, err := transport.RoundTrip(req)
			if err == nil && resp.StatusCode == http.StatusUnauthorized {
				return nil, &fs.PathError{Op: "open", Path: filepath.Join(s.keys, "x.key"), Err: fs.ErrPermission}
			}
			return resp, err
		})
	}
	// on sets the stage's platform. It uses loopback, so that Service Fabric's certificate is checked.
	on := func(t *testing.T, s *stage, host interface{ Setenv(testing.TB) }) {
		host.Setenv(t)
		s.facts, s.transport = laptop(), nil
	}
	for _, test := range []struct {
		name   string
		env    map[string]string
		reason reason
		set    func(*testing.T, *stage)
	}{
		{"laptop", nil, reasonNotAzure, func(*testing.T, *stage) {}},
		{"vm", nil, reasonOK, func(t *testing.T, s *stage) { vm(t, s) }},
		{"vm-user-assigned-unasked", nil, reasonOK, func(t *testing.T, s *stage) {
			vm(t, s).SetIdentities(azhosttest.UserAssigned("reports"))
		}},
		{"vm-without-identity", nil, reasonNoIdentity, func(t *testing.T, s *stage) { vm(t, s).SetIdentities() }},
		{"vm-identity-not-assigned", nil, reasonIdentityNotAssigned, func(t *testing.T, s *stage) {
			vm(t, s)
			s.args = []string{"--client-id", azhosttest.UserAssigned("reports").ClientID}
		}},
		{"vm-identity-deleted", nil, reasonIdentityDeleted, func(t *testing.T, s *stage) {
			fail(vm(t, s), azhosttest.Fault{Status: 400, Body: `{"error":"invalid_request","error_description":"AADSTS700016: Application not found in the directory."}`})
		}},
		{"vm-opaque-token", nil, reasonOK, func(t *testing.T, s *stage) {
			vm(t, s).EditResponse(func(fields map[string]any) { fields["access_token"] = "opaque" })
		}},
		{"vm-refuses-the-resource", nil, reasonResourceNotFound, func(t *testing.T, s *stage) { vm(t, s).AllowResources(vault) }},
		{"vm-clock", nil, reasonOK, func(t *testing.T, s *stage) {
			vm(t, s).SetClaims(map[string]any{"iat": time.Now().Add(6 * time.Minute).Unix()})
		}},
		{"vm-updating", nil, reasonHostFailing, func(t *testing.T, s *stage) { fail(vm(t, s), azhosttest.Updating()) }},
		{"vm-throttling", nil, reasonThrottled, func(t *testing.T, s *stage) { fail(vm(t, s), azhosttest.Throttled(time.Second)) }},
		{"vm-down", nil, reasonHostDown, func(t *testing.T, s *stage) {
			vm(t, s)
			s.transport = wire(refuse)
		}},
		{"container-group-down", map[string]string{
			"IDENTITY_HEADER": "canary", "IDENTITY_SERVER_THUMBPRINT": "x", "IDENTITY_API_VERSION": "2020-05-01",
		}, reasonHostDown, func(*testing.T, *stage) {}},
		{"impostor", nil, reasonForeignResponse, func(t *testing.T, s *stage) {
			vm := azhosttest.NewVM(t)
			fail(vm, azhosttest.Portal())
			s.transport = wire(vm.Do)
		}},
		{"arc", nil, reasonOK, func(t *testing.T, s *stage) { arc(t, s) }},
		{"arc-installed", nil, reasonOK, func(t *testing.T, s *stage) {
			arc(t, s)
			s.args = s.args[2:]
			s.facts.env.Himds = himdsPath
		}},
		{"arc-by-its-variables", map[string]string{"IDENTITY_ENDPOINT": detect.ArcTokenEndpoint, "IMDS_ENDPOINT": "http://127.0.0.1:40342"}, reasonOK, func(t *testing.T, s *stage) {
			arc(t, s)
			s.args = s.args[4:]
		}},
		{"arc-stopped", nil, reasonHostDown, func(t *testing.T, s *stage) {
			arc(t, s)
			s.transport = wire(refuse)
			s.facts.env.Himds = himdsPath
			s.facts.agent = func(context.Context) (agentStatus, error) {
				return agentStatus{}, errors.New("azcmagent show: exit status 1")
			}
		}},
		{"arc-stopped-on-windows", nil, reasonHostDown, func(t *testing.T, s *stage) {
			arc(t, s)
			s.transport = wire(refuse)
			s.facts.goos = "windows"
		}},
		{"arc-disconnected", nil, reasonAgentDisconnected, func(t *testing.T, s *stage) {
			fail(arc(t, s), azhosttest.ServerError())
			s.facts.env.Himds = himdsPath
			s.facts.agent = func(context.Context) (agentStatus, error) {
				return agentStatus{"Disconnected", "1.67", "web-1", "2026-11-20T08:00:00Z", "AZCM0073", "no such host"}, nil
			}
		}},
		{"arc-keys-missing", nil, reasonKeyMissing, func(t *testing.T, s *stage) {
			arc(t, s)
			s.keys = filepath.Join(s.keys, "elsewhere")
			s.args[len(s.args)-1] = s.keys
		}},
		{"arc-keys-unreadable-in-a-container", nil, reasonKeyUnreadable, func(t *testing.T, s *stage) {
			arc(t, s)
			unreadable(t, s)
			s.facts.root = true
			s.facts.readable = func(dir string) error {
				return refusal(dir + " (mode 0550, owner nobody, group nogroup) denies access to uid 0 (user root, groups root) in a user namespace, where root and groups are not the host's")
			}
		}},
		{"arc-keys-unreadable-on-windows", nil, reasonKeyUnreadable, func(t *testing.T, s *stage) {
			arc(t, s)
			unreadable(t, s)
			s.facts.goos = "windows"
			s.facts.readable = func(dir string) error { return &fs.PathError{Op: "open", Path: dir, Err: fs.ErrNotExist} }
		}},
		{"arc-keys-broken", nil, reasonOK, func(t *testing.T, s *stage) {
			arc(t, s)
			s.facts.readable = func(string) error { return errors.New("input/output error") }
		}},
		{"proxy-agent-denies", nil, reasonAccessDenied, func(t *testing.T, s *stage) {
			s.facts.proxyAgent = "/usr/sbin/azure-proxy-agent"
			fail(vm(t, s), azhosttest.Fault{Status: 403, Header: http.Header{"Connection": {"close"}}})
		}},
		{"proxy", nil, reasonOK, func(t *testing.T, s *stage) {
			vm(t, s)
			s.facts.proxy = func(*http.Request) (*url.URL, error) { return url.Parse("http://me:canary@proxy:3128/?canary") }
		}},
		{"appservice", nil, reasonOK, func(t *testing.T, s *stage) { on(t, s, azhosttest.NewAppService(t)) }},
		{"servicefabric", nil, reasonOK, func(t *testing.T, s *stage) { on(t, s, azhosttest.NewServiceFabric(t)) }},
		{"cloudshell", nil, reasonOK, func(t *testing.T, s *stage) { on(t, s, azhosttest.NewCloudShell(t)) }},
		{"azureml-wrong-secret", nil, reasonAccessDenied, func(t *testing.T, s *stage) {
			on(t, s, azhosttest.NewAzureML(t))
			t.Setenv("MSI_SECRET", "canary")
		}},
		{"appservice-stopped", nil, reasonHostDown, func(t *testing.T, s *stage) {
			on(t, s, azhosttest.NewAppService(t))
			s.transport = wire(refuse)
		}},
		{"appservice-without-identity", nil, reasonNoIdentity, func(t *testing.T, s *stage) {
			host := azhosttest.NewAppService(t)
			host.SetIdentities()
			on(t, s, host)
		}},
		{"appservice-refuses-the-resource", nil, reasonResourceNotFound, func(t *testing.T, s *stage) {
			host := azhosttest.NewAppService(t)
			host.AllowResources(vault)
			on(t, s, host)
		}},
		{"arc-hidden", map[string]string{
			"IDENTITY_ENDPOINT": detect.ArcTokenEndpoint, "IMDS_ENDPOINT": "http://127.0.0.1:40342", "MSI_ENDPOINT": "http://127.0.0.1:50342/oauth2/token",
		}, reasonHostDown, func(*testing.T, *stage) {}},
		{"half-set", map[string]string{"IDENTITY_HEADER": "canary", "MSI_SECRET": "canary"}, reasonNotAzure, func(*testing.T, *stage) {}},
		{"elsewhere", map[string]string{"IDENTITY_ENDPOINT": "http://u:canary@10.0.0.4/x?code=canary", "IMDS_ENDPOINT": "%"}, reasonEnvironment, func(*testing.T, *stage) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			noHost(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			s := stage{facts: laptop(), transport: wire(refuse), keys: t.TempDir()}
			test.set(t, &s)
			facts := func(p *process) { p.facts = func() facts { return s.facts } }
			got := do(t.Context(), s.transport, facts, append([]string{"doctor", "--json"}, s.args...)...)
			require.Empty(t, got.stderr)
			require.NotContains(t, got.stdout, "canary")
			require.NotContains(t, got.stdout, "eyJ")

			got.stdout = normalized(got.stdout, s.keys, filepath.Dir(s.keys))
			r := examined(t, got)
			requireForms(t, "doctor-"+test.name, func(c console, verbose bool) { require.NoError(t, r.write(c, verbose)) })

			require.Equal(t, test.reason, r.Reason)
			require.Equal(t, test.reason.exitCode(), got.code)
			require.Equal(t, got.code, r.ExitCode)
			require.Equal(t, got.code == exitOK, r.OK)
			names := map[string]bool{}
			for _, f := range r.Findings {
				require.False(t, names[f.Name], "two findings have the name %s", f.Name)
				names[f.Name] = true
				require.Regexp(t, `^[A-Z_]+$|^[a-z-]+$`, f.Name)
				require.NotEmpty(t, f.Detail)
				require.Contains(t, []status{ok, note, bad}, f.Status)
			}
			require.Regexp(t, `^[A-Z].*[.]$`, r.Verdict)
			require.Contains(t, reasons(), r.Reason)
		})
	}
}

// examined returns the report that "azhost doctor --json" has printed.
func examined(t *testing.T, got result) (r report) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(got.stdout))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&r), got.stderr)
	return r
}

func TestDoctorJSON(t *testing.T) {
	noHost(t)
	got := do(t.Context(), wire(refuse), nil, "doctor", "--json")
	require.Equal(t, exitUnavailable, got.code)
	requireGolden(t, "doctor-json", normalized(got.stdout))
}

// TestDoctorPrintsTheReport checks that the command writes the same report without --json.
func TestDoctorPrintsTheReport(t *testing.T) {
	noHost(t)
	r := examined(t, do(t.Context(), wire(refuse), nil, "doctor", "--json"))
	for _, args := range [][]string{{"doctor"}, {"doctor", "-v"}, {"doctor", "--verbose"}} {
		var want bytes.Buffer
		require.NoError(t, r.write(console{Writer: &want}, len(args) > 1))
		got := do(t.Context(), wire(refuse), nil, args...)
		require.Equal(t, exitUnavailable, got.code)
		require.Equal(t, normalized(want.String()), normalized(got.stdout))
		require.Empty(t, got.stderr)
	}
}
