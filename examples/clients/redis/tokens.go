// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/redis/go-redis/v9/auth"
)

// scope is that of every cloud's Redis.
const scope = "https://redis.azure.com/.default"

// pause is how often the credential is asked once a renewal is due. azhost renews behind the call
// that finds it due, so the next call has the new token.
const pause = 30 * time.Second

// tokens gives every new connection the current token, and those that exist the next one before
// that expires. It is safe for concurrent use.
type tokens struct {
	user string
	cred azcore.TokenCredential

	mu        sync.Mutex // guards the fields below; not held while the credential or a listener is called
	listeners map[auth.CredentialsListener]bool
	fed       string // the token that listeners have been given last
}

var _ auth.StreamingCredentialsProvider = (*tokens)(nil)

func newTokens(user string, cred azcore.TokenCredential) *tokens {
	return &tokens{user: user, cred: cred, listeners: map[auth.CredentialsListener]bool{}}
}

// Subscribe returns the current token, and gives the listener, a connection, those that follow.
func (t *tokens) Subscribe(l auth.CredentialsListener) (auth.Credentials, auth.UnsubscribeFunc, error) {
	ctx, cancel := context.WithTimeout(context.Background(), pause) // go-redis passes no context
	defer cancel()
	unsubscribe := func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.listeners, l)
		return nil
	}
	t.mu.Lock()
	t.listeners[l] = true // before GetToken, so that no renewal passes it by
	t.mu.Unlock()
	token, err := t.token(ctx)
	if err != nil {
		_ = unsubscribe()
		return nil, nil, err
	}
	return auth.NewBasicCredentials(t.user, token.Token), unsubscribe, nil
}

// renew feeds the listeners until ctx ends.
func (t *tokens) renew(ctx context.Context) {
	for {
		token := t.feed(ctx)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait(token, time.Now())):
		}
	}
}

// feed gives the listeners the current token if it is new to them, and returns it. An error is
// not passed on, as go-redis would close the connection for it: the next call tries again, and a
// new connection, which cannot do without a token, gets the error from Subscribe.
func (t *tokens) feed(ctx context.Context) azcore.AccessToken {
	token, err := t.token(ctx)
	if err != nil {
		return azcore.AccessToken{}
	}
	t.mu.Lock()
	var listeners []auth.CredentialsListener
	if t.fed != token.Token {
		t.fed = token.Token
		listeners = slices.Collect(maps.Keys(t.listeners))
	}
	t.mu.Unlock()
	for _, l := range listeners {
		l.OnNext(auth.NewBasicCredentials(t.user, token.Token))
	}
	return token
}

func (t *tokens) token(ctx context.Context) (azcore.AccessToken, error) {
	return t.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
}

// wait returns how long after now to ask for the token's successor. The zero token, which is none,
// is asked for again after a pause.
func wait(token azcore.AccessToken, now time.Time) time.Duration {
	due := token.RefreshOn
	if due.IsZero() {
		due = token.ExpiresOn.Add(-5 * time.Minute) // when azhost renews such a token
	}
	return max(due.Sub(now), pause)
}
