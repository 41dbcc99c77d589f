// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package e2e_test

import (
	"testing"
	"time"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// arcVariables are what the agent's installer sets.
func arcVariables(host string) []string {
	return []string{
		"IDENTITY_ENDPOINT=http://" + host + "/metadata/identity/oauth2/token",
		"IMDS_ENDPOINT=http://" + host,
	}
}

// himds installs the agent on the machine's disk.
func (m *machine) himds() {
	m.t.Helper()
	m.file("/opt/azcmagent/bin/himds", "")
}

func TestArc(t *testing.T) {
	t.Parallel()
	for name, found := range map[string]struct {
		onDisk      bool
		environment []string
	}{
		"by the environment":                   {environment: arcVariables(agent)},
		"by the environment, named localhost":  {environment: arcVariables("localhost:40342")},
		"by the agent on disk, no environment": {onDisk: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			if found.onDisk {
				m.himds()
			}
			h := m.hosts("-arc", agent, "-keys", keys)
			p := m.program(found.environment)
			require.Equal(t, string(azhost.SourceAzureArc), p.source)
			require.Equal(t, p.token(vault), p.token(vault))
			require.Equal(t, []int{401, 200}, h.statuses("arc"), "one exchange, and a cached token")
		})
	}
}

func TestArcAgentRestarts(t *testing.T) {
	t.Parallel()
	t.Run("between the two requests of an exchange", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.himds()
		h := m.hosts("-arc", agent, "-keys", keys)
		h.do("restart")
		p := m.program(nil)
		p.token(vault)
		require.Equal(t, []int{401, 401, 200}, h.statuses("arc"), "an interrupted exchange, and a complete one")
	})
	t.Run("while the program runs", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.himds()
		h := m.hosts("-arc", agent, "-keys", keys)
		p := m.program(nil)
		before := p.token(vault)
		h.do("stop")
		require.Equal(t, before, p.token(vault), "a cached token doesn't need the agent")
		p.write("https://storage.azure.com")
		time.Sleep(time.Second) // until a request finds that the agent is down
		h.do("start")
		p.requireToken(p.outcomes(1)[0])
		require.Equal(t, []int{401, 200, 401, 200}, h.statuses("arc"))
	})
}

func TestLocalhostIsNotResolved(t *testing.T) {
	t.Parallel()
	const elsewhere = "192.0.2.1"
	m := newMachine(t)
	m.ip("addr add " + elsewhere + "/32 dev lo")
	m.file("/etc/hosts", elsewhere+" localhost\n")
	require.Contains(t, m.run(nil, "getent", "ahostsv4", "localhost"), elsewhere, "localhost resolves to another address")
	rogue := m.hosts("-arc", elsewhere+":40342", "-keys", keys)
	h := m.hosts("-arc", agent, "-keys", keys)
	p := m.program(arcVariables("localhost:40342"))
	p.token(vault)
	require.Equal(t, []int{401, 200}, h.statuses("arc"))
	require.Empty(t, rogue.seen("arc"))
}
