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

// route is an endpoint and the caller's Transport, which may be nil.
type route struct {
	endpoint  string
	transport policy.Transporter
}

// identity is the key of a cache. Credentials with equal identities share tokens.
type identity struct {
	route
	source    Source
	declared  bool // the caller set Source to IMDS, so azhost retries
	fixed     bool // Endpoint is set, so the platform's variable for it isn't read
	kind      idKind
	id        string
	keyDir    string
	retry     scalars // as the caller set them; callers with different timeouts don't share requests
	revocable bool    // for clients that handle the revocation of tokens, on Service Fabric
}

// scalars are the values of policy.RetryOptions that can be compared.
type scalars struct {
	maxRetries                            int32
	tryTimeout, retryDelay, maxRetryDelay time.Duration
}

// shared is the only mutable package state: the caches and gates of all credentials without custom
// policies. It outlives them, because some programs create a credential for each use.
var shared = struct {
	caches registry[identity, cache]
	gates  registry[route, gate]
}{
	caches: registry[identity, cache]{useless: (*cache).useless},
	gates:  registry[route, gate]{useless: (*gate).useless},
}

// maxShared is the largest size of a registry.
const maxShared = 1_000

// registry returns one value per key. When it is full, it removes the useless values, and then arbitrary ones
// until a tenth is free, so that it doesn't search for them at every insertion.
type registry[K comparable, V any] struct {
	useless func(*V) bool

	mu     sync.Mutex // guards values
	values map[K]*V
}

// get returns the key's value, and creates it if necessary.
func (r *registry[K, V]) get(key K, create func() *V) *V {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v := r.values[key]; v != nil {
		return v
	}
	if r.values == nil {
		r.values = map[K]*V{}
	}
	if len(r.values) >= maxShared {
		maps.DeleteFunc(r.values, func(_ K, v *V) bool { return r.useless(v) })
		for other := range r.values {
			if len(r.values) <= maxShared*9/10 {
				break
			}
			delete(r.values, other)
		}
	}
	v := create()
	r.values[key] = v
	return v
}

// distinct reports whether a Transport can be compared with others: it must be a pointer to a type of
// nonzero size. Pointers to zero-size values may be equal, and other types may not be comparable.
func distinct(t policy.Transporter) bool {
	v := reflect.ValueOf(t)
	return t == nil || v.Kind() == reflect.Pointer && v.Type().Elem().Size() > 0
}
