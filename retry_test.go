// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
)

func TestComplete(t *testing.T) {
	require.Equal(t, brief, complete(policy.RetryOptions{}, brief))
	own := policy.RetryOptions{MaxRetries: 7, RetryDelay: time.Second, MaxRetryDelay: time.Hour, TryTimeout: 9 * time.Second, StatusCodes: []int{418}}
	require.Equal(t, own, complete(own, brief))
	none := complete(policy.RetryOptions{MaxRetries: -1, RetryDelay: -1, MaxRetryDelay: -1, TryTimeout: -1, StatusCodes: []int{}}, brief)
	require.Equal(t, policy.RetryOptions{MaxRetries: -1, MaxRetryDelay: math.MaxInt64, TryTimeout: flightDeadline, StatusCodes: []int{}}, none)
}

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		name     string
		d, limit time.Duration
		max      time.Duration // is not reached
	}{
		{"a second", time.Second, time.Minute, 2500 * time.Millisecond},
		{"half a minute", 30 * time.Second, time.Minute, 46 * time.Second},
		{"near the limit", 50 * time.Second, time.Minute, time.Minute},
		{"no limit", 50 * time.Second, math.MaxInt64, 76 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			different := map[time.Duration]bool{}
			for range 20 {
				got := spread(test.d, test.limit)
				require.GreaterOrEqual(t, got, test.d)
				require.Less(t, got, test.max)
				different[got] = true
			}
			require.Greater(t, len(different), 10, "clients retry at the same time")
		})
	}
	require.Equal(t, time.Minute, spread(time.Minute, time.Minute))
	require.Equal(t, 2*time.Minute, spread(2*time.Minute, time.Minute))
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			header http.Header
			want   time.Duration
		}{
			"none":                     {http.Header{}, 0},
			"seconds":                  {http.Header{"Retry-After": {"7"}}, 7 * time.Second},
			"zero":                     {http.Header{"Retry-After": {"0"}}, 0},
			"negative":                 {http.Header{"Retry-After": {"-1"}}, 0},
			"nonsense":                 {http.Header{"Retry-After": {"soon"}}, 0},
			"too many digits":          {http.Header{"Retry-After": {"99999999999999999999"}}, 0},
			"a date":                   {http.Header{"Retry-After": {time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat)}}, 9 * time.Second},
			"a date that is past":      {http.Header{"Retry-After": {"Mon, 02 Jan 1995 15:04:05 GMT"}}, 0},
			"a date by a clock ahead":  {http.Header{"Retry-After": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}, "Date": {time.Now().Add(time.Hour - 9*time.Second).UTC().Format(http.TimeFormat)}}, 9 * time.Second},
			"a date by a clock behind": {http.Header{"Retry-After": {time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)}, "Date": {time.Now().Add(-time.Hour - 9*time.Second).UTC().Format(http.TimeFormat)}}, 9 * time.Second},
			"a date and an old Date":   {http.Header{"Retry-After": {time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat)}, "Date": {"Thu, 01 Jan 1970 00:00:00 GMT"}}, 9 * time.Second},
			"a date and no Date":       {http.Header{"Retry-After": {time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat)}, "Date": {"now"}}, 9 * time.Second},
			"12 days":                  {http.Header{"Retry-After": {"1048576"}}, 1048576 * time.Second},
			"more than 12 days":        {http.Header{"Retry-After": {"1048577"}}, 0},
			"milliseconds":             {http.Header{"Retry-After-Ms": {"1500"}, "Retry-After": {"7"}}, 1500 * time.Millisecond},
			"no milliseconds":          {http.Header{"Retry-After-Ms": {"0"}, "Retry-After": {"7"}}, 7 * time.Second},
			"12 days in milliseconds":  {http.Header{"Retry-After-Ms": {"1073741824"}, "Retry-After": {"7"}}, 1073741824 * time.Millisecond},
			"too many milliseconds":    {http.Header{"Retry-After-Ms": {"1073741825"}, "Retry-After": {"7"}}, 7 * time.Second},
			"the other header":         {http.Header{"X-Ms-Retry-After-Ms": {"1500"}}, 1500 * time.Millisecond},
		} {
			require.Equal(t, test.want, retryAfter(test.header), name)
		}
	})
}

func TestPauseAsked(t *testing.T) {
	for status, want := range map[int]time.Duration{429: 7 * time.Second, 503: 7 * time.Second, 500: 0, 404: 0, 200: 0} {
		require.Equal(t, want, pauseAsked(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"7"}}}), status)
	}
	require.Zero(t, pauseAsked(nil))
}
