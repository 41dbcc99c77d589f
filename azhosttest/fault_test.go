// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestFaultsOverBothTransports(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		fault   azhosttest.Fault
		status  int
		body    string // "" for the host's body
		header  string
		dropped bool
		cut     bool
	}{
		{name: "zero value", status: 200},
		{name: "410", fault: azhosttest.Updating(), status: 410},
		{name: "429 with Retry-After", fault: azhosttest.Throttled(1500 * time.Millisecond), status: 429, header: "2"},
		{name: "429 without", fault: azhosttest.Throttled(0), status: 429},
		{name: "500", fault: azhosttest.ServerError(), status: 500},
		{name: "WireServer's 500", fault: azhosttest.WireServer(), status: 500, body: "Internal Server Error"},
		{name: "portal", fault: azhosttest.Portal(), status: 200, body: "<html><body>Please sign in</body></html>"},
		{name: "a body alone", fault: azhosttest.Fault{Body: "x"}, status: 200, body: "x"},
		{name: "header in lower case", fault: azhosttest.Fault{Status: 503, Header: http.Header{"retry-after": {"7"}}}, status: 503, header: "7"},
		{name: "lowest status", fault: azhosttest.Fault{Status: 200, Body: "x"}, status: 200, body: "x"},
		{name: "below the lowest status", fault: azhosttest.Fault{Status: 199}, status: 500},
		{name: "highest status", fault: azhosttest.Fault{Status: 599}, status: 599},
		{name: "above the highest status", fault: azhosttest.Fault{Status: 600}, status: 500},
		{name: "dropped", fault: azhosttest.Fault{Status: 500, Drop: true}, dropped: true},
		{name: "cut", fault: azhosttest.Fault{Status: 500, Body: "12345678", Cut: true}, status: 500, body: "1234", cut: true},
		{name: "cut without a body", fault: azhosttest.Fault{Status: 410, Cut: true}, status: 410, cut: true},
		{name: "host's response cut", fault: azhosttest.Fault{Cut: true}, status: 200, cut: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			vm := azhosttest.NewVM(t)
			for transport, client := range map[string]*http.Client{
				"loopback": {Transport: &http.Transport{DisableKeepAlives: true}},
				"memory":   {Transport: memory{vm}},
			} {
				vm.Fail(test.fault)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, vm.Endpoint()+good+"&client_id="+azhosttest.SystemAssigned().ClientID, nil)
				require.NoError(t, err)
				req.Header.Set("Metadata", "true")
				resp, err := client.Do(req)
				log := vm.Requests()
				require.Equal(t, test.status, log[len(log)-1].Status, transport)
				require.Equal(t, "client_id="+azhosttest.SystemAssigned().ClientID, log[len(log)-1].Selector, transport)
				if test.dropped {
					require.ErrorIs(t, err, io.EOF, transport)
					continue
				}
				require.NoError(t, err, transport)
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, resp.Body.Close())
				require.Equal(t, test.status, resp.StatusCode, transport)
				require.Equal(t, test.header, resp.Header.Get("Retry-After"), transport)
				if test.body != "" {
					require.Equal(t, test.body, string(body), transport)
				}
				if test.cut {
					require.ErrorIs(t, err, io.ErrUnexpectedEOF, transport)
				} else {
					require.NoError(t, err, transport)
				}
			}
		})
	}
}

func TestDeniedMatchesProxyAgent(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	for transport, client := range map[string]http.RoundTripper{"loopback": http.DefaultTransport, "memory": memory{vm}} {
		vm.Fail(azhosttest.Denied())
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, vm.Endpoint()+good, nil)
		require.NoError(t, err)
		req.Header.Set("Metadata", "true")
		resp, err := client.RoundTrip(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 403, resp.StatusCode, transport)
		require.Empty(t, body, transport)
		require.Zero(t, resp.ContentLength, transport)
		require.True(t, resp.Close, transport)
		require.Empty(t, resp.Header.Values("Server"), transport)
		require.Empty(t, resp.Header.Values("Content-Type"), transport)
	}
	vm.RequireTokens(t, 0)
}

func TestFaultsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		asked := 0
		vm.FailWhile(func(r azhosttest.Request) (azhosttest.Fault, bool) {
			asked++
			vm.RequestCount() // a callback may call the host's methods
			return azhosttest.Fault{Status: 507}, r.Resource == "https://r"
		})
		vm.Fail(azhosttest.Fault{Status: 501}, azhosttest.Fault{Status: 502})
		vm.Fail(azhosttest.Fault{Status: 503, Delay: time.Minute})
		start := time.Now()
		for _, want := range []int{501, 502, 503, 507, 507} {
			resp, err := do(t, memory{vm}, t.Context(), good)
			require.NoError(t, err)
			require.Equal(t, want, resp.StatusCode)
		}
		require.Equal(t, time.Minute, time.Since(start))
		require.Equal(t, 2, asked)
		newTokenInMemory(t, vm, good+"/other")

		vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())
		time.Sleep(70*time.Second - time.Nanosecond)
		resp, err := do(t, memory{vm}, t.Context(), good)
		require.NoError(t, err)
		require.Equal(t, 410, resp.StatusCode)
		time.Sleep(time.Nanosecond)
		newTokenInMemory(t, vm, good)
	})
}

func TestFailRate(t *testing.T) {
	t.Parallel()
	failures := func(rate float64, seed uint64, faults ...azhosttest.Fault) (statuses []int) {
		vm := azhosttest.NewVM(t)
		vm.FailRandomly(rate, seed, faults...)
		for range 200 {
			resp, err := do(t, memory{vm}, t.Context(), good)
			require.NoError(t, err)
			if resp.StatusCode != 200 {
				statuses = append(statuses, resp.StatusCode)
			}
		}
		return statuses
	}
	half := failures(0.5, 1, azhosttest.ServerError(), azhosttest.Updating())
	require.InDelta(t, 100, len(half), 40)
	require.Subset(t, half, []int{500, 410})
	require.Equal(t, half, failures(0.5, 1, azhosttest.ServerError(), azhosttest.Updating()))
	require.Empty(t, failures(0, 1, azhosttest.ServerError()))
	require.Len(t, failures(1, 1, azhosttest.ServerError()), 200)
	require.Empty(t, failures(1, 1))
}

func TestThrottleCountsConcurrentRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.Throttle(0, 5)
		vm.SetLatency(time.Second)
		statuses := make(chan int, 7)
		ask := func() {
			resp, err := do(t, memory{vm}, t.Context(), good)
			if err != nil {
				statuses <- 0
				return
			}
			statuses <- resp.StatusCode
		}
		for range 7 {
			go ask()
		}
		got := map[int]int{}
		for range 7 {
			got[<-statuses]++
		}
		require.Equal(t, map[int]int{200: 5, 429: 2}, got)

		vm.Fail(azhosttest.Updating())
		vm.Throttle(1, 0)
		vm.SetLatency(0)
		ask()
		ask()
		require.Equal(t, 410, <-statuses)
		require.Equal(t, 429, <-statuses)
		time.Sleep(time.Second - time.Nanosecond)
		ask()
		require.Equal(t, 429, <-statuses)
		time.Sleep(time.Nanosecond)
		vm.Fail(azhosttest.Updating())
		ask()
		require.Equal(t, 410, <-statuses, "a throttled request uses up no fault")
		vm.Throttle(0, 0)
		ask()
		require.Equal(t, 200, <-statuses)
	})
}

func TestLatencyEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.Throttle(0, 1)
		vm.SetLatency(time.Minute)
		for _, limit := range []time.Duration{time.Minute - time.Nanosecond, time.Minute + time.Nanosecond} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			start := time.Now()
			resp, err := do(t, memory{vm}, ctx, good)
			require.Equal(t, min(limit, time.Minute), time.Since(start))
			if limit < time.Minute {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			} else {
				require.NoError(t, err)
				require.Equal(t, 200, resp.StatusCode, "the previous request still counts as concurrent")
			}
			cancel()
			_, err = do(t, memory{vm}, ctx, good)
			require.Error(t, err)
		}
		vm.RequireRequests(t, 2) // requests with a canceled context were not sent
		require.Zero(t, vm.Requests()[0].Status)
	})
}

func TestDroppedInMemory(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.Fail(azhosttest.Fault{Drop: true})
	_, err := do(t, memory{vm}, t.Context(), good)
	var read *net.OpError
	require.ErrorAs(t, err, &read)
	require.Equal(t, "read", read.Op)
}
