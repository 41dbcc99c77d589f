// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

func TestScheduled(t *testing.T) {
	const almostOne = 1 - 1.0/(1<<53)
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name       string
		life       time.Duration
		refresh    time.Duration // 0: the host did not say
		r          float64
		due        time.Duration
		wantPublic bool // RefreshOn is published
	}{
		{"a day, from half-life", 24 * time.Hour, 0, 0, 12 * time.Hour, true},
		{"a day, a tenth earlier at most", 24 * time.Hour, 0, almostOne, 12*time.Hour - 72*time.Minute, true},
		{"thirty hours, at twelve", 30 * time.Hour, 0, 0, 12 * time.Hour, true},
		{"whatever the host says", 30 * time.Hour, 20 * time.Hour, 0, 12 * time.Hour, true},
		{"two hours, five minutes before expiry", 2 * time.Hour, 0, 0, 115 * time.Minute, false},
		{"two hours and two nanoseconds, at half-life", 2*time.Hour + 2, 0, 0, time.Hour + 1, true},
		{"the host's refresh_in comes first", 24 * time.Hour, time.Hour, 0, time.Hour, true},
		{"the host's refresh_in with jitter", 24 * time.Hour, 10 * time.Hour, 0.5, 9*time.Hour + 30*time.Minute, true},
		{"refresh_in of a short token", 10 * time.Minute, time.Minute, 0, time.Minute, true},
		{"refresh_in at expiry is ignored", 10 * time.Minute, 10 * time.Minute, 0, 9 * time.Minute, false},
		{"refresh_in in the past is ignored", 10 * time.Minute, -time.Minute, 0, 9 * time.Minute, false},
		{"fifty minutes: both rules agree", 50 * time.Minute, 0, almostOne, 45 * time.Minute, false},
		{"above, five minutes", 60 * time.Minute, 0, 0, 55 * time.Minute, false},
		{"below, the last tenth", 20 * time.Second, 0, 0, 18 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := azcore.AccessToken{Token: "t", ExpiresOn: now.Add(test.life)}
			if test.refresh != 0 {
				token.RefreshOn = now.Add(test.refresh)
			}
			got, due, dying, life := scheduled(token, now, test.r)
			require.Equal(t, test.life-min(time.Minute, test.life/10), dying)
			require.Equal(t, test.life, life)
			require.InDelta(t, float64(test.due), float64(due), 10) // nanoseconds
			if test.wantPublic {
				require.Equal(t, now.Add(due), got.RefreshOn)
			} else {
				require.Zero(t, got.RefreshOn)
			}
		})
	}
}

func TestInstantReached(t *testing.T) {
	due := instant{wall: 1000, mono: 500}
	for _, test := range []struct {
		name string
		now  instant
		want bool
	}{
		{"before", instant{999, 499}, false},
		{"at", instant{1000, 500}, true},
		{"suspended: the wall clock alone has arrived", instant{1000, 100}, true},
		{"set back: the monotonic clock alone has arrived", instant{0, 500}, true},
		{"set back, and not yet", instant{0, 499}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, due.reached(test.now))
		})
	}
}

func TestPause(t *testing.T) {
	for n, want := range map[int]time.Duration{
		1: 30 * time.Second, 2: time.Minute, 3: 2 * time.Minute, 4: 4 * time.Minute,
		5: 5 * time.Minute, 6: 5 * time.Minute, 1000: 5 * time.Minute,
	} {
		require.Equal(t, want, pauseAfter(n, 0), "failure %d", n)
		require.Equal(t, want+want/20, pauseAfter(n, 0.5), "failure %d", n)
	}
}

func TestForget(t *testing.T) {
	require.Equal(t, 900*time.Millisecond, forget(0))
	require.Equal(t, time.Second, forget(0.5))
}
