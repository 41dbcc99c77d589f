// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package e2e_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestOffAzure(t *testing.T) {
	t.Parallel()
	t.Run("no network but loopback", func(t *testing.T) {
		t.Parallel()
		call := newMachine(t).program(nil).requireUnavailable(soon)
		require.Contains(t, call.Error, "network is unreachable")
	})
	t.Run("connection refused", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.ip("addr add " + imds + "/32 dev lo")
		call := m.program(nil).requireUnavailable(soon)
		require.Contains(t, call.Error, "connection refused")
	})
	t.Run("packets dropped", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		// The other end of the cable drops the packets, because they aren't for its address. Without a
		// neighbor entry, the kernel would report an unreachable host.
		m.ip("link add cable type veth peer name end")
		m.ip("addr add 192.0.2.1/24 dev cable")
		m.ip("link set cable up")
		m.ip("link set end up")
		m.ip("route add " + imds + "/32 dev cable")
		m.ip("neigh add " + imds + " dev cable lladdr 02:00:00:00:00:01 nud permanent")
		// ConnectTimeout is 2 s; three times that leaves room for a loaded machine, and is less
		// than a second attempt would take.
		call := m.program(nil).requireUnavailable(6 * time.Second)
		require.Contains(t, call.Error, "i/o timeout")
		require.GreaterOrEqual(t, call.Took, 2*time.Second)
	})
}

func TestForeignResponses(t *testing.T) {
	t.Parallel()
	text := http.Header{"Content-Type": {"text/plain; charset=utf-8"}}
	html := http.Header{"Content-Type": {"text/html"}}
	for name, fault := range map[string]azhosttest.Fault{
		"a captive portal": azhosttest.Portal(),
		"Docker Desktop": {Status: 403, Header: text,
			Body: "connecting to 169.254.169.254:80: dial tcp 169.254.169.254:80: connectex: A socket operation was attempted to an unreachable network."},
		"Docker Desktop in Norwegian": {Status: 403, Header: text,
			Body: "connecting to 169.254.169.254:80: dial tcp 169.254.169.254:80: connectex: Det ble forsøkt utført en socketoperasjon på et nettverk som ikke kan nås."},
		"EC2, which wants a session": {Status: 401, Header: http.Header{"Server": {"EC2ws"}, "Content-Type": {"text/plain"}}},
		"EC2": {Status: 404, Header: http.Header{"Server": {"EC2ws"}, "Content-Type": {"text/html"}},
			Body: "<html><head><title>404 - Not Found</title></head><body><h1>404 - Not Found</h1></body></html>"},
		"GCE": {Status: 404, Header: http.Header{"Server": {"Metadata Server for VM"}, "Metadata-Flavor": {"Google"}, "Content-Type": {"text/html; charset=UTF-8"}},
			Body: "<!DOCTYPE html><html><title>Error 404 (Not Found)</title></html>"},
		"a web server's page":  {Status: 404, Header: html, Body: "<h1>Not Found</h1>"},
		"an empty response":    {Status: 204},
		"JSON of another kind": {Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"version":1}`},
		"a redirect":           {Status: 302, Header: http.Header{"Location": {"http://192.0.2.1/login"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			h := m.vm()
			h.fail(fault)
			m.program(nil).requireUnavailable(soon)
			require.Len(t, h.seen("vm"), 1, "one response is enough")
		})
	}
}
