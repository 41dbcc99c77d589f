// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// TestDoctorWatch watches the Arc agent during a reboot of the machine.
func TestDoctorWatch(t *testing.T) {
	noHost(t)
	for name, args := range map[string][]string{"text": nil, "json": {"--json"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				down := atomic.Bool{}
				transport := wire(func(req *http.Request) (*http.Response, error) {
					if down.Load() {
						return refuse(req)
					}
					return vm.Do(req)
				})
				ctx, stop := context.WithCancelCause(t.Context())
				time.AfterFunc(11*time.Second, func() { down.Store(true) })
				time.AfterFunc(31*time.Second, func() { down.Store(false); vm.SetIdentities(azhosttest.UserAssigned("reports")) })
				time.AfterFunc(51*time.Second, func() { stop(interrupted{os.Interrupt}) })
				got := do(ctx, transport, nil, append([]string{"doctor", "--watch"}, args...)...)
				require.Equal(t, exitInterrupted, got.code)
				require.Equal(t, "azhost doctor: interrupted\n", got.stderr)
				if args == nil {
					requireGolden(t, "doctor-watch", got.stdout)
					return
				}
				var seen []reason
				for line := range strings.Lines(got.stdout) {
					var change struct {
						Time time.Time
						report
					}
					require.NoError(t, json.Unmarshal([]byte(line), &change))
					require.False(t, change.Time.IsZero())
					seen = append(seen, change.Reason)
				}
				require.Equal(t, []reason{reasonOK, reasonHostDown, reasonOK}, seen)
			})
		})
	}
}
