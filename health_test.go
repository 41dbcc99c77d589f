// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// TestHealth follows a resource through its states: requested, rejected, acquired, stale while the host is
// down, expired, forgotten.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		health := func() azhost.Health {
			t.Helper()
			all := slices.Collect(cred.Health())
			require.Len(t, all, 1)
			require.Equal(t, vault, all[0].Resource)
			return all[0]
		}
		require.Empty(t, slices.Collect(cred.Health()))

		down := azhosttest.Fault{Status: 403, Body: `{"error":"no","error_description":"never"}`}
		vm.FailUntil(time.Now().Add(time.Hour), down)
		for n := range 3 {
			_, err = token(t.Context(), cred)
			requireFailed(t, err)
			h := health()
			requireFailed(t, h.Err)
			require.Equal(t, azhost.Health{Resource: vault, Failures: n + 1, Err: h.Err}, h)
			time.Sleep(2 * time.Second)
		}

		time.Sleep(time.Hour)
		tk, err := token(t.Context(), cred)
		require.NoError(t, err)
		got := azhost.Health{Resource: vault, AcquiredOn: time.Now().UTC(), ExpiresOn: tk.ExpiresOn, RefreshOn: tk.RefreshOn}
		require.WithinDuration(t, got.RefreshOn, health().RefreshOn, time.Microsecond)
		got.RefreshOn = health().RefreshOn
		require.Equal(t, got, health())

		vm.FailUntil(time.Now().Add(48*time.Hour), down)
		time.Sleep(time.Until(tk.RefreshOn))
		_, err = token(t.Context(), cred)
		require.NoError(t, err)
		time.Sleep(time.Second)
		h := health()
		require.Equal(t, 1, h.Failures)
		require.ErrorContains(t, h.Err, "403")
		require.Equal(t, tk.ExpiresOn, h.ExpiresOn)
		require.True(t, h.RefreshOn.After(time.Now()))
	})
}

// TestHealthDoesNotCallUnavailableError checks that Health doesn't call UnavailableError, which may log. A
// probe may call Health every few seconds.
func TestHealthDoesNotCallUnavailableError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made, observed := 0, make(chan azhost.Event, 1)
		cred := onVM(t, always(refusedDial), func(o *azhost.ManagedIdentityCredentialOptions) {
			o.UnavailableError = func(message string) error { made++; return errors.New(message) }
			o.Observe = func(e azhost.Event) { observed <- e }
		})
		_, err := token(t.Context(), cred)
		requireUnavailable(t, err)
		requireUnavailable(t, (<-observed).Err)
		for range 10 {
			for h := range cred.Health() {
				requireUnavailable(t, h.Err)
			}
		}
		require.Equal(t, 1, made)
	})
}
