// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// handler is a slog.Handler that calls do.
type handler struct {
	slog.Handler
	do func()
}

func (h handler) Enabled(context.Context, slog.Level) bool  { return true }
func (h handler) Handle(context.Context, slog.Record) error { h.do(); return nil }
func (h handler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func logging(do func()) *slog.Logger                        { return slog.New(handler{slog.DiscardHandler, do}) }

func TestSlowHandlerDoesNotBlockCallers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Second })
		start := time.Now()
		var all sync.WaitGroup
		all.Go(func() {
			_, err := r.get(t.Context(), "r", "", r.by(logging(func() { time.Sleep(time.Hour) })))
			require.NoError(t, err)
			require.Equal(t, time.Second, time.Since(start))
		})
		synctest.Wait()
		for range 3 {
			all.Go(func() {
				_, err := r.want(t.Context(), "r", "")
				require.NoError(t, err)
				require.Equal(t, time.Second, time.Since(start))
			})
		}
		all.Wait()
		time.Sleep(time.Hour)
		require.Empty(t, r.logged.String(), "logged twice")
	})
}

func TestHandlerCallsGetToken(t *testing.T) {
	for name, down := range map[string]error{"success": nil, "failure": errors.New("down")} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := newRig()
				r.set(func() { r.down = down })
				asked := 0
				_, err := r.get(t.Context(), "r", "", r.by(logging(func() {
					asked++
					_, err := r.want(t.Context(), "r", "")
					require.ErrorIs(t, err, down)
				})))
				require.ErrorIs(t, err, down)
				synctest.Wait()
				require.Equal(t, 1, asked)
				require.Equal(t, 1, r.count())
			})
		})
	}
}

// TestFirstCallerIsCanceled checks that the flight is logged once, with the first caller's logger.
func TestFirstCallerIsCanceled(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.takes = time.Minute })
		var starter log
		var all sync.WaitGroup
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := r.get(ctx, "r", "", r.by(slog.New(slog.NewTextHandler(&starter, nil))))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Empty(t, starter.String())
		})
		synctest.Wait()
		all.Go(func() {
			_, err := r.want(t.Context(), "r", "")
			require.NoError(t, err)
		})
		all.Wait()
		synctest.Wait()
		require.Contains(t, starter.String(), `msg="azhost: token acquired" resource=r after=1m0s`)
		require.Empty(t, r.logged.String(), "logged twice")
	})
}

func TestHandlerPanicsDuringRefresh(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		time.Sleep(55 * time.Minute)
		panicked := false
		_, err := r.get(t.Context(), "r", "", r.by(logging(func() { panicked = true; panic("handler bug") })))
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		require.True(t, panicked)
		require.Equal(t, "r#2", r.token(t).Token)
	})
}

// TestAbandonedFlightIsLogged checks that a flight that ends without callers is logged.
func TestAbandonedFlightIsLogged(t *testing.T) {
	const lost = `level=WARN msg="azhost: token request failed after its last caller had left"`
	for name, test := range map[string]struct {
		claims string
		down   error
		want   string
	}{
		"token":             {"", nil, `level=INFO msg="azhost: token acquired"`},
		"failure":           {"", errors.New("down"), lost},
		"failure of claims": {"revoked", errors.New("down"), lost},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				r := newRig()
				r.set(func() { r.takes, r.down = time.Minute, test.down })
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := r.want(ctx, "r", test.claims)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				synctest.Wait()
				require.Empty(t, r.logged.String())
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Contains(t, r.logged.String(), test.want)
			})
		})
	}
}
