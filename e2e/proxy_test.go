// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package e2e_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoProxy(t *testing.T) {
	t.Parallel()
	const proxy = "127.0.0.1:3128"
	var proxies []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		for _, name := range []string{name, strings.ToLower(name)} {
			proxies = append(proxies, name+"=http://"+proxy)
		}
	}
	t.Run("a program without azhost's transport uses the proxy", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		h := m.vm("-proxy", proxy)
		m.program(proxies, "-careless").requireUnavailable(soon)
		require.NotEmpty(t, h.seen("proxy"))
		require.Empty(t, h.seen("vm"))
	})
	t.Run("VM", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		h := m.vm("-proxy", proxy)
		m.program(proxies).token(vault)
		require.Empty(t, h.seen("proxy"))
		require.Equal(t, []int{200}, h.statuses("vm"))
	})
	t.Run("Arc", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.himds()
		h := m.hosts("-arc", agent, "-keys", keys, "-proxy", proxy)
		m.program(proxies).token(vault)
		require.Empty(t, h.seen("proxy"))
		require.Equal(t, []int{401, 200}, h.statuses("arc"))
	})
}
