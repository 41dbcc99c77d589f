// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package e2e_test

import (
	"testing"
	"time"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

func TestVM(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	h := m.vm()
	p := m.program(nil)
	require.Equal(t, string(azhost.SourceIMDS), p.source)
	first := p.token(vault)
	require.Equal(t, first, p.token(vault), "the second token is the cached one")
	require.NotEqual(t, first, p.token("https://storage.azure.com/"))
	seen := h.seen("vm")
	require.Equal(t, []int{200, 200}, h.statuses("vm"))
	require.Equal(t, vault, seen[0].Request.Resource)
	require.Equal(t, "https://storage.azure.com/", seen[1].Request.Resource)
}

func TestLateIMDS(t *testing.T) {
	t.Parallel()
	t.Run("waits if the firmware is an Azure VM's", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.azureVM()
		m.ip("addr add " + imds + "/32 dev lo")
		p := m.program(nil)
		p.write(vault)
		h := m.lateHosts("-vm", imds+":80", "-late", "5s")
		call := p.outcomes(1)[0]
		p.requireToken(call)
		t.Logf("token after %s", call.Took)
		h.waitFor("listen")
		require.Equal(t, []int{200}, h.statuses("vm"))
	})
	t.Run("without that, unavailable at once and found later", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		h := m.vm()
		h.do("stop")
		p := m.program(nil)
		p.requireUnavailable(soon)
		h.do("start")
		time.Sleep(1500 * time.Millisecond) // the failure is remembered for about a second
		p.token(vault)
		require.Equal(t, []int{200}, h.statuses("vm"))
	})
}
