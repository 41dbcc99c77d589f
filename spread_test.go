// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSpreadRetryAfter(t *testing.T) {
	for _, test := range []struct {
		name, value string
		limit       time.Duration
		min, max    time.Duration // max is not reached
	}{
		{"a second", "1", time.Minute, time.Second, 2500 * time.Millisecond},
		{"half a minute", "30", time.Minute, 30 * time.Second, 46 * time.Second},
		{"near the limit", "50", time.Minute, 50 * time.Second, time.Minute},
		{"no limit", "50", -1, 50 * time.Second, 76 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			different := map[string]bool{}
			for range 20 {
				resp := &http.Response{Header: http.Header{"Retry-After": {test.value}}}
				spreadRetryAfter(resp, test.limit)
				value := resp.Header.Get("Retry-After-Ms")
				ms, err := strconv.Atoi(value)
				require.NoError(t, err)
				got := time.Duration(ms) * time.Millisecond
				require.GreaterOrEqual(t, got, test.min)
				require.Less(t, got, test.max)
				different[value] = true
			}
			require.Greater(t, len(different), 10, "clients come back together")
		})
	}
	for name, test := range map[string]struct {
		header http.Header
		limit  time.Duration
	}{
		"none":                   {http.Header{}, time.Minute},
		"zero":                   {http.Header{"Retry-After": {"0"}}, time.Minute},
		"negative":               {http.Header{"Retry-After": {"-1"}}, time.Minute},
		"nonsense":               {http.Header{"Retry-After": {"soon"}}, time.Minute},
		"the limit":              {http.Header{"Retry-After": {"60"}}, time.Minute},
		"more than azcore waits": {http.Header{"Retry-After": {"61"}}, time.Minute},
		"too many digits":        {http.Header{"Retry-After": {"99999999999999999999"}}, -1},
		"a date of the past":     {http.Header{"Retry-After": {"Mon, 02 Jan 2006 15:04:05 GMT"}}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{Header: test.header}
			spreadRetryAfter(resp, test.limit)
			require.NotContains(t, resp.Header, "Retry-After-Ms")
		})
	}
}
