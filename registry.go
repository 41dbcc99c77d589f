// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"weak"
)

// endpoint is what all requests to one token endpoint share.
type gate struct {
	slots    chan struct{} // one for each request under way
	answered atomic.Bool   // IMDS itself has answered here; set once, never cleared
}

// maxRequests bounds the concurrent requests of one process to one endpoint. IMDS answers five
// at a time, for all processes of a VM together; one is left to the others.
const maxRequests = 4

func newGate() *gate { return &gate{slots: make(chan struct{}, maxRequests)} }

// identity names the tokens of a cache: credentials that agree on all of it get the same ones.
type identity struct {
	source   Source
	endpoint string
	pinned   bool // the endpoint is the caller's where it would be a variable's, which may change
	kind     idKind
	id       string
	keyDir   string
}

// systemOnly refuses a user-assigned identity, with the reason.
func (i identity) systemOnly(reason string) error {
	if i.id == "" {
		return nil
	}
	return fmt.Errorf("ID selects a user-assigned identity, and %s; leave ID nil", reason)
}

// shared is what credentials with default transport and no policies of their own have in common:
// the only package state that changes. It holds what it hands out weakly, so that the last
// credential to go takes it along.
var shared struct {
	caches registry[identity, cache]
	gates  registry[string, gate]
}

// registry hands out one value per key while anybody holds it. The zero value is empty.
type registry[K comparable, V any] struct {
	mu     sync.Mutex // guards values
	values map[K]weak.Pointer[V]
}

// get returns the key's value, made if nobody holds one.
func (r *registry[K, V]) get(key K, create func() *V) *V {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.values[key].Value(); v != nil {
		return v
	}
	v := create()
	if r.values == nil {
		r.values = make(map[K]weak.Pointer[V])
	}
	r.values[key] = weak.Make(v)
	runtime.AddCleanup(v, r.drop, key)
	return v
}

// drop forgets a key whose value is gone, unless get has made another meanwhile.
func (r *registry[K, V]) drop(key K) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.values[key].Value() == nil {
		delete(r.values, key)
	}
}
