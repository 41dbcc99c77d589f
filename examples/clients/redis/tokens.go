// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/redis/go-redis/v9/auth"
)

// scope is the scope of Redis in every cloud.
const scope = "https://redis.azure.com/.default"

// tokens gives every new connection the current token, and then each new one. It is safe for concurrent use.
type tokens struct {
	ctx           context.Context // for token requests, because go-redis passes no context
	user          string
	cred          *azhost.ManagedIdentityCredential
	subscriptions sync.Map // auth.CredentialsListener -> context.CancelFunc
}

// Subscribe returns the current token, and gives the listener, which stands for a connection, each later one.
func (t *tokens) Subscribe(l auth.CredentialsListener) (auth.Credentials, auth.UnsubscribeFunc, error) {
	ctx, cancel := context.WithTimeout(t.ctx, 30*time.Second)
	defer cancel()
	token, err := t.cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	if err != nil {
		return nil, nil, err
	}
	ctx, end := context.WithCancel(t.ctx)
	unsubscribe := func() error {
		if end, ok := t.subscriptions.LoadAndDelete(l); ok {
			end.(context.CancelFunc)()
		}
		return nil
	}
	_ = unsubscribe() // go-redis may subscribe a listener again, which replaces the subscription
	t.subscriptions.Store(l, end)
	go t.feed(ctx, l, token.Token)
	return auth.NewBasicCredentials(t.user, token.Token), unsubscribe, nil
}

// feed gives a listener the tokens after the first. It skips errors, because go-redis would close the
// connection, whose token may be valid for hours.
func (t *tokens) feed(ctx context.Context, l auth.CredentialsListener, first string) {
	for token, err := range t.cred.Tokens(ctx, policy.TokenRequestOptions{Scopes: []string{scope}}) {
		if err == nil && token.Token != first {
			l.OnNext(auth.NewBasicCredentials(t.user, token.Token))
		}
	}
}
