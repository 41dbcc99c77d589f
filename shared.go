// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"fmt"
	"maps"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// gate is what all requests to one token endpoint share.
type gate struct {
	slots    chan struct{} // one for each request under way
	answered atomic.Bool   // IMDS itself has answered here; set once, never cleared
}

// maxRequests bounds the concurrent requests of one process to one endpoint. IMDS answers five
// at a time, for all processes of a VM together; one is left to the others.
const maxRequests = 4

func newGate() *gate { return &gate{slots: make(chan struct{}, maxRequests)} }

// route is where requests go, and by which of the caller's transports, nil for none.
type route struct {
	endpoint  string
	transport policy.Transporter
}

// identity names the tokens of a cache: credentials that agree on all of it get the same ones.
type identity struct {
	route
	source    Source
	pinned    bool // the endpoint is the caller's where it would be a variable's, which may change
	kind      idKind
	id        string
	keyDir    string
	revocable bool // for clients that handle the revocation of tokens, where that makes a difference
}

// systemOnly refuses a user-assigned identity, with the reason.
func (i identity) systemOnly(reason string) error {
	if i.id == "" {
		return nil
	}
	return fmt.Errorf("ID selects a user-assigned identity, and %s; leave ID nil", reason)
}

// shared is what credentials without policies of their own have in common: the only package state
// that changes. It outlives them, because there are programs that make a credential for every use.
var shared = struct {
	caches registry[identity, cache]
	gates  registry[route, gate]
}{
	caches: registry[identity, cache]{useless: (*cache).useless},
	gates:  registry[route, gate]{useless: func(*gate) bool { return false }},
}

// maxShared bounds a registry.
const maxShared = 1_000

// registry hands out one value per key. When it is full it removes what is useless, and if nothing
// is, any one.
type registry[K comparable, V any] struct {
	useless func(*V) bool

	mu     sync.Mutex // guards the fields below
	values map[K]*V
	limit  int // number of values at which the next insertion looks for useless ones
}

// get returns the key's value, made if there is none.
func (r *registry[K, V]) get(key K, create func() *V) *V {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.values[key]; v != nil {
		return v
	}
	if r.values == nil {
		r.values = map[K]*V{}
	}
	if len(r.values) >= r.limit {
		maps.DeleteFunc(r.values, func(_ K, v *V) bool { return r.useless(v) })
		r.limit = min(max(2*len(r.values), 16), maxShared)
	}
	for any := range r.values {
		if len(r.values) < maxShared {
			break
		}
		delete(r.values, any)
	}
	v := create()
	r.values[key] = v
	return v
}

// sharable reports whether a credential with this transport can share: one that is a pointer tells
// itself from all others. Pointers to nothing are all the same, and other types may not be comparable.
func sharable(t policy.Transporter) bool {
	v := reflect.ValueOf(t)
	return t == nil || v.Kind() == reflect.Pointer && v.Type().Elem().Size() > 0
}
