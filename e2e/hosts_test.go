// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package e2e_test

import (
	"encoding/json"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/e2e/internal/line"
	"github.com/stretchr/testify/require"
)

// hosts is a process of the command hosts.
type hosts struct {
	*process[line.Event]
	events []line.Event
}

// hosts starts the hosts and waits until they listen.
func (m *machine) hosts(arguments ...string) *hosts {
	m.t.Helper()
	h := m.lateHosts(arguments...)
	h.waitFor("listen")
	return h
}

// lateHosts starts the hosts without waiting.
func (m *machine) lateHosts(arguments ...string) *hosts {
	m.t.Helper()
	return &hosts{process: start[line.Event](m, nil, "hosts", arguments...)}
}

// vm starts an IMDS at its real address.
func (m *machine) vm(arguments ...string) *hosts {
	m.t.Helper()
	m.ip("addr add " + imds + "/32 dev lo")
	return m.hosts(append([]string{"-vm", imds + ":80"}, arguments...)...)
}

// do sends the hosts a command.
func (h *hosts) do(command string) {
	h.t.Helper()
	h.write(command)
	h.waitFor(command)
}

// fail makes the hosts respond to every request with a fault.
func (h *hosts) fail(fault azhosttest.Fault) {
	h.t.Helper()
	text, err := json.Marshal(fault)
	require.NoError(h.t, err)
	h.do("fail " + string(text))
}

func (h *hosts) waitFor(command string) {
	h.t.Helper()
	for {
		event := h.next()
		require.Empty(h.t, event.Error)
		if event.Done == command {
			return
		}
		require.Empty(h.t, event.Done)
		h.events = append(h.events, event)
	}
}

// seen returns the requests that the hosts of a kind have received so far.
func (h *hosts) seen(kind string) []line.Event {
	h.t.Helper()
	h.do("sync")
	var events []line.Event
	for _, event := range h.events {
		if event.Host == kind {
			events = append(events, event)
		}
	}
	return events
}

// statuses returns the statuses of a host's responses so far, in order.
func (h *hosts) statuses(kind string) []int {
	h.t.Helper()
	statuses := []int{}
	for _, event := range h.seen(kind) {
		statuses = append(statuses, event.Request.Status)
	}
	return statuses
}
