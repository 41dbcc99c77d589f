// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

// rig is a cache in front of a scripted host. Its fields are used in one bubble, where the test orders the
// goroutines with synctest.Wait. script guards them, for the race detector.
type rig struct {
	*cache
	logged log

	script   sync.Mutex
	requests int
	down     error                                                                  // the host's error instead of a token
	takes    time.Duration                                                          // how long it takes
	life     time.Duration                                                          // of its tokens
	refresh  time.Duration                                                          // their refresh_in
	fetch    func(ctx context.Context, resource string) (azcore.AccessToken, error) // replaces the fields above
	rejected []string                                                               // the tokens that requests with claims were told of
}

func newRig() *rig {
	return &rig{cache: newCache(false), takes: time.Millisecond, life: time.Hour}
}

// answer makes one attempt, as a source does.
func (r *rig) answer(ctx context.Context, w want) (azcore.AccessToken, error) {
	progress := progressOf(ctx)
	if !progress.begin() {
		return azcore.AccessToken{}, ctx.Err()
	}
	progress.attempts.Add(1)
	r.script.Lock()
	r.requests++
	if w.rejected != "" {
		r.rejected = append(r.rejected, w.rejected)
	}
	token := azcore.AccessToken{Token: fmt.Sprintf("%s#%d", w.resource, r.requests)}
	down, takes, life, refresh, fetch := r.down, r.takes, r.life, r.refresh, r.fetch
	r.script.Unlock()
	if fetch != nil {
		return fetch(progress.ctx, w.resource)
	}
	select {
	case <-time.After(takes):
	case <-progress.ctx.Done():
		return azcore.AccessToken{}, gaveUp(progress.ctx, w.resource, "", nil)
	}
	if down != nil {
		return azcore.AccessToken{}, down
	}
	token.ExpiresOn = time.Now().Add(life)
	if refresh != 0 {
		token.RefreshOn = time.Now().Add(refresh)
	}
	return token, nil
}

func (r *rig) want(ctx context.Context, resource, claims string) (azcore.AccessToken, error) {
	return r.get(ctx, resource, claims, r.by(slog.New(slog.NewTextHandler(&r.logged, nil))))
}

// by returns a requester with a logger.
func (r *rig) by(log *slog.Logger) *requester {
	return &requester{fetch: r.answer, log: log, from: nowhere}
}

// from returns a requester with a separate host.
func from(fetch func(context.Context) (azcore.AccessToken, error)) *requester {
	return &requester{fetch: func(ctx context.Context, _ want) (azcore.AccessToken, error) { return fetch(ctx) }, from: nowhere}
}

// set changes how the host responds.
func (r *rig) set(change func()) {
	r.script.Lock()
	defer r.script.Unlock()
	change()
}

// count returns how many requests the host has seen.
func (r *rig) count() int {
	r.script.Lock()
	defer r.script.Unlock()
	return r.requests
}

// log is a buffer that may be read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// inBubble runs f on fake time, and fails if a goroutine outlives the deadline of flights.
func inBubble(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		f(t)
		time.Sleep(flightDeadline)
	})
}

// token gets a token without claims, and requires that it doesn't wait, unless the old token is dying.
func (r *rig) token(t *testing.T) azcore.AccessToken {
	t.Helper()
	start := time.Now()
	old, _ := r.valid("r")
	token, err := r.want(t.Context(), "r", "")
	require.NoError(t, err)
	if old.ExpiresOn.Sub(start) > lastMinute {
		require.Zero(t, time.Since(start), "a caller with a valid token waited")
	} else {
		require.LessOrEqual(t, time.Since(start), dyingWait)
	}
	return token
}

// primed returns a rig whose cache holds a token for "r", fetched just now.
func primed(t *testing.T, life, refresh time.Duration) *rig {
	t.Helper()
	r := newRig()
	r.set(func() { r.life, r.refresh = life, refresh })
	_, err := r.want(t.Context(), "r", "")
	require.NoError(t, err)
	require.Equal(t, 1, r.count())
	return r
}

// nowhere names no host.
func nowhere() string { return "" }
