// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// TestClocksThatDisagree: expires_on is believed, until it and expires_in are more than five
// minutes apart; then the host's clock and ours differ, and the log says so.
func TestClocksThatDisagree(t *testing.T) {
	for ahead, logged := range map[time.Duration]bool{
		0: false, 5 * time.Minute: false, -5 * time.Minute: false,
		5*time.Minute + time.Second: true, -5*time.Minute - time.Second: true, 48 * time.Hour: true, -48 * time.Hour: true,
	} {
		t.Run(ahead.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log safeBuffer
				now := time.Now()
				hosts := now.Add(time.Hour + ahead)
				cred := onVM(t, always(answer(200, fmt.Sprintf(`{"access_token":"x","expires_in":"3600","expires_on":"%d"}`, hosts.Unix()))),
					func(o *azhost.ManagedIdentityCredentialOptions) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
				tk, err := token(t.Context(), cred)
				require.NoError(t, err)
				if logged {
					require.Equal(t, now.Add(time.Hour).Unix(), tk.ExpiresOn.Unix())
					require.Contains(t, log.String(), "skew="+ahead.String())
				} else {
					require.Equal(t, hosts.Unix(), tk.ExpiresOn.Unix())
					require.NotContains(t, log.String(), "skew")
				}
			})
		})
	}
}
