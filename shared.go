// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"maps"
	"reflect"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

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
	retry     scalars // as the caller set them: one caller's impatience is not another's
	revocable bool    // for clients that handle the revocation of tokens, where that makes a difference
}

// scalars are the values of policy.RetryOptions that can be compared.
type scalars struct {
	maxRetries                            int32
	tryTimeout, retryDelay, maxRetryDelay time.Duration
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

// distinct reports whether a Transport can be told from all others: one that is a pointer can.
// Pointers to nothing are all the same, and values of other types may not be comparable.
func distinct(t policy.Transporter) bool {
	v := reflect.ValueOf(t)
	return t == nil || v.Kind() == reflect.Pointer && v.Type().Elem().Size() > 0
}
