// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
)

// credential returns a credential in front of the rig.
func (r *rig) credential() *ManagedIdentityCredential {
	return &ManagedIdentityCredential{cache: r.cache, revocable: r.cache, requester: *r.by(nil)}
}

// yielded is what a stream has yielded, and when.
type yielded struct {
	after time.Duration
	token string
	err   error
}

// stream collects what Tokens yields.
type stream struct {
	mu   sync.Mutex
	all  []yielded
	stop context.CancelFunc
	done chan struct{}
}

func (r *rig) stream(t *testing.T, claims string) *stream {
	ctx, cancel := context.WithCancel(t.Context())
	s := &stream{stop: cancel, done: make(chan struct{})}
	start := time.Now()
	go func() {
		defer close(s.done)
		for token, err := range r.credential().Tokens(ctx, policy.TokenRequestOptions{Scopes: []string{"r"}, Claims: claims}) {
			s.mu.Lock()
			s.all = append(s.all, yielded{time.Since(start), token.Token, err})
			s.mu.Unlock()
		}
	}()
	return s
}

// end ends the stream and returns all that it has yielded.
func (s *stream) end() []yielded {
	synctest.Wait()
	s.stop()
	<-s.done
	return s.all
}

// soFar returns what it has yielded.
func (s *stream) soFar() []yielded {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// requireIn requires that something came in [from, to].
func requireIn(t *testing.T, from, to, got time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, got, from)
	require.LessOrEqual(t, got, to)
}

func TestTokensYieldsEachRenewal(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		s := r.stream(t, "")
		time.Sleep(4 * time.Hour)
		all := s.end()
		require.Len(t, all, 5)
		for n, y := range all {
			require.NoError(t, y.err)
			require.Equal(t, time.Duration(n)*55*time.Minute+time.Duration(n+1)*time.Millisecond, y.after)
		}
		require.Equal(t, 5, r.count(), "requests outside the schedule")
	})
}

// TestTokensInIdleProgram checks that a call after 25 h gets a token that is still valid for long.
func TestTokensInIdleProgram(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.life = 24 * time.Hour })
		s := r.stream(t, "")
		time.Sleep(25 * time.Hour)
		token, ok := r.hit("r", time.Now())
		require.True(t, ok)
		require.Greater(t, time.Until(token.ExpiresOn), 20*time.Hour)
		require.Len(t, s.end(), 3)
		require.Equal(t, 3, r.count())
	})
}

// TestTokensWithSlowLoop checks that a loop body that takes longer than a token's lifetime gets a fresh
// token next.
func TestTokensWithSlowLoop(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		n := 0
		for token, err := range r.credential().Tokens(t.Context(), policy.TokenRequestOptions{Scopes: []string{"r"}}) {
			require.NoError(t, err)
			require.Equal(t, time.Hour, time.Until(token.ExpiresOn))
			if n++; n == 3 {
				break
			}
			time.Sleep(25 * time.Hour)
		}
		require.Equal(t, 3, r.count())
	})
}

// TestTokensWithoutHost checks that every failed attempt is yielded once, after the pauses of refreshes.
func TestTokensWithoutHost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.down = errors.New("down") })
		s := r.stream(t, "")
		time.Sleep(30 * time.Minute)
		all := s.soFar()
		require.ErrorIs(t, all[0].err, r.down)
		for n, y := range all[1:] {
			require.ErrorIs(t, y.err, r.down)
			requireIn(t, pauseAfter(n+1, 0), pauseAfter(n+1, 1)+time.Millisecond, y.after-all[n].after)
		}
		require.GreaterOrEqual(t, len(all), 8)
		require.Equal(t, len(all), r.count())

		for range 10 { // other callers' failures don't affect the stream
			_, err := r.want(t.Context(), "r", "")
			require.ErrorIs(t, err, r.down)
			time.Sleep(2 * time.Second)
		}
		require.LessOrEqual(t, len(s.soFar()), len(all)+1)

		r.set(func() { r.down = nil })
		token, err := r.want(t.Context(), "r", "") // another caller gets a token
		require.NoError(t, err)
		all = s.soFar()
		require.Equal(t, token.Token, all[len(all)-1].token, "not yielded at once")
		asked := r.count()
		time.Sleep(54 * time.Minute)
		require.Len(t, s.end(), len(all))
		require.Equal(t, asked, r.count())
	})
}

// TestTokensDuringOutage checks that a failed refresh isn't an error while the token is valid.
func TestTokensDuringOutage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		s := r.stream(t, "")
		time.Sleep(time.Minute)
		r.set(func() { r.down = errors.New("down") })
		time.Sleep(59 * time.Minute)
		require.Len(t, s.soFar(), 1)
		failed := r.count()
		requireIn(t, 4, 5, time.Duration(failed)) // at 55 min, 30 s later, and 1 and 2 min after that
		time.Sleep(10 * time.Minute)
		all := s.soFar()
		require.ErrorIs(t, all[1].err, r.down)
		requireIn(t, time.Hour, time.Hour+time.Second, all[1].after)
		require.Equal(t, len(all)-1, r.count()-failed)
		r.set(func() { r.down = nil })
		time.Sleep(6 * time.Minute)
		all = s.end()
		require.NoError(t, all[len(all)-1].err)
	})
}

// TestTokensAreShared checks that streams and callers send no more requests than one of them would.
func TestTokensAreShared(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		one, two := r.stream(t, ""), r.stream(t, "")
		for range 2 * 60 {
			time.Sleep(time.Minute)
			r.token(t)
		}
		require.Equal(t, one.end(), two.end())
		require.Len(t, one.all, 3)
		require.Equal(t, 3, r.count())
	})
}

// TestTokensAfterInvalidate checks that a token that a service rejected is replaced at once, and so is one
// that another caller's claims replace.
func TestTokensAfterInvalidate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		s := r.stream(t, "")
		time.Sleep(time.Minute)
		r.drop("r#1")
		time.Sleep(time.Minute)
		_, err := r.want(t.Context(), "r", "revoked")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		all := s.end()
		require.Len(t, all, 3)
		require.Equal(t, time.Minute+time.Millisecond, all[1].after)
		require.Equal(t, "r#3", all[2].token)
		require.Equal(t, 3, r.count())
	})
}

// TestTokensWithClaims checks that claims are used only for the first token. Until it arrives, the stream
// neither yields nor refreshes the cached token.
func TestTokensWithClaims(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := primed(t, time.Hour, 0)
		time.Sleep(56 * time.Minute)
		r.set(func() { r.down = errors.New("down") })
		s := r.stream(t, "revoked")
		time.Sleep(2 * time.Minute)
		all := s.soFar()
		requireIn(t, 3, 3, time.Duration(len(all))) // at once, after 30 s, and a minute later
		require.Equal(t, 1+3, r.count())
		r.set(func() { r.down = nil })
		time.Sleep(54 * time.Minute)
		all = s.soFar()
		require.Len(t, all, 4)
		require.Equal(t, "r#5", all[3].token)
		time.Sleep(4 * time.Minute)
		require.Len(t, s.end(), 5)
		require.Equal(t, []string{"r#1", "r#1", "r#1", "r#1"}, r.rejected, "a refresh named a rejected token")
	})
}

// TestTokensHonorRetryAfter checks that the next attempt waits for as long as the host asks.
func TestTokensHonorRetryAfter(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		busy := failed(nil, nil, "busy")
		busy.retryAfter = 100 * time.Second
		r.set(func() { r.down = busy })
		s := r.stream(t, "")
		time.Sleep(99 * time.Second)
		require.Len(t, s.soFar(), 1)
		time.Sleep(2 * time.Second)
		require.Len(t, s.end(), 2)
	})
}

// TestTokensAfterSuspend checks that a stream notices a suspend, during which timers stop, because it looks
// at the clocks once a minute.
func TestTokensAfterSuspend(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.life = 24 * time.Hour })
		s := r.stream(t, "")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		r.cache.mu.Lock()
		r.epoch = r.epoch.Add(-13 * time.Hour) // one of the clocks continued during the suspend
		r.cache.mu.Unlock()
		time.Sleep(time.Minute)
		require.Len(t, s.end(), 2)
	})
}

// TestTokensCleansUp checks that a stream leaves no goroutine, for which the bubble would wait, and no
// entry that is never swept.
func TestTokensCleansUp(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		r := newRig()
		r.set(func() { r.down = errors.New("down") })
		s := r.stream(t, "")
		time.Sleep(time.Minute)
		s.end()
		for range r.credential().Tokens(t.Context(), policy.TokenRequestOptions{Scopes: []string{"r"}}) {
			break
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range r.credential().Tokens(ended, policy.TokenRequestOptions{Scopes: []string{"r"}}) {
			t.Fatal("yielded after the end of its context")
		}
		time.Sleep(2 * sweepEvery)
		require.True(t, r.useless())
	})
}

// TestTokensInvalidCalls checks that a stream without a context or a resource yields one error.
func TestTokensInvalidCalls(t *testing.T) {
	r := newRig()
	var none context.Context
	for name, test := range map[string]struct {
		ctx    context.Context
		scopes []string
	}{"no context": {none, []string{"r"}}, "no scope": {t.Context(), nil}, "no resource": {t.Context(), []string{"/.default"}}} {
		t.Run(name, func(t *testing.T) {
			var errs []error
			for token, err := range r.credential().Tokens(test.ctx, policy.TokenRequestOptions{Scopes: test.scopes}) {
				require.Equal(t, azcore.AccessToken{}, token)
				errs = append(errs, err)
			}
			require.Len(t, errs, 1)
			require.Error(t, errs[0])
		})
	}
	require.Zero(t, r.count())
}
