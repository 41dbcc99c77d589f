// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// TestEarlierExpiryCounts: of two fields that disagree, unless the Date header, or a past expires_on
// without one, shows that the two clocks do. Then the log says so.
func TestEarlierExpiryCounts(t *testing.T) {
	for _, test := range []struct {
		name          string
		in, on        time.Duration // expires_in, and expires_on from now
		date          time.Duration // the Date header, from now
		dated, logged bool
		want          time.Duration
	}{
		{name: "a go-between repeats an old answer", in: 24 * time.Hour, on: 20 * time.Minute, want: 20 * time.Minute},
		{name: "and dates it", in: 24 * time.Hour, on: 20 * time.Minute, dated: true, want: 20 * time.Minute},
		{name: "expires_in is shorter", in: time.Hour, on: 2 * time.Hour, want: time.Hour},
		{name: "a host that is 2 days ahead", in: time.Hour, on: 49 * time.Hour, date: 48 * time.Hour, dated: true, logged: true, want: time.Hour},
		{name: "a host that is 2 days behind", in: time.Hour, on: -47 * time.Hour, date: -48 * time.Hour, dated: true, logged: true, want: time.Hour},
		{name: "the same without a date", in: time.Hour, on: -47 * time.Hour, logged: true, want: time.Hour},
		{name: "a few minutes apart", in: time.Hour, on: time.Hour - 4*time.Minute, date: -4 * time.Minute, dated: true, want: 56 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log safeBuffer
				now := time.Now()
				body := fmt.Sprintf(`{"access_token":"x","expires_in":"%d","expires_on":"%d"}`, int(test.in.Seconds()), now.Add(test.on).Unix())
				headers := []string{}
				if test.dated {
					headers = append(headers, "Date: "+now.Add(test.date).UTC().Format(http.TimeFormat))
				}
				tk, err := token(t.Context(), onVM(t, always(answer(200, body, headers...)),
					func(o *azhost.ManagedIdentityCredentialOptions) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }))
				require.NoError(t, err)
				require.Equal(t, now.Add(test.want).Unix(), tk.ExpiresOn.Unix())
				synctest.Wait()
				require.Equal(t, test.logged, strings.Contains(log.String(), "the host's clock differs"), log.String())
			})
		})
	}
}
