// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// gate coordinates all requests to one endpoint: it limits them, and records what is known about the host.
type gate struct {
	slots chan struct{}  // one for each attempt under way
	rate  chan time.Time // for IMDS: when each of the last attempts ended; nil for other hosts

	mu       sync.Mutex // guards the fields below; never held across I/O
	genuine  bool       // the host itself has responded
	spent    time.Time  // until then each request makes one attempt, because a whole schedule has failed
	silent   bool       // that schedule ended without a response
	pauseEnd time.Time  // until then no request is sent, because of a Retry-After
	throttle *throttle  // the response that asked for this pause
}

// throttle is a response that asks for a pause.
type throttle struct {
	status int
	header http.Header
	body   []byte
}

const (
	// maxAttempts limits the concurrent attempts of one process at one endpoint. IMDS allows five for all
	// processes of a VM together; one is left for the others.
	maxAttempts = 4
	// maxRate is how many requests IMDS allows in any second.
	maxRate = 20
	// spentFor is how long requests make only one attempt after a whole schedule has failed.
	spentFor = 5 * time.Minute
	// maxRetryAfter is the longest Retry-After that is kept for later requests.
	maxRetryAfter = 2 * time.Minute
	// lease is how long an attempt keeps its slot after its deadline. Without this limit, four attempts in a
	// Transport that ignores its context would block all later requests.
	lease = 10 * time.Second
)

// newGate returns the gate of an endpoint. If paced, it allows maxRate requests in any second.
func newGate(paced bool) *gate {
	g := &gate{slots: make(chan struct{}, maxAttempts)}
	if paced {
		g.rate = make(chan time.Time, maxRate)
		for range maxRate {
			g.rate <- time.Time{}
		}
	}
	return g
}

// enter waits for the turn of an attempt that takes at most timeout. The caller calls leave once, when the
// attempt ends. If ctx is done first, enter returns an error.
//
// For the rate, an attempt counts until one second after its end. So even if a request is delayed on its way,
// the host sees at most 20 in any second.
func (g *gate) enter(ctx context.Context, timeout time.Duration) (leave func(), err error) {
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var last time.Time
	if g.rate != nil {
		last = <-g.rate // doesn't block, because there are fewer slots
	}
	for { // the host may ask for a pause meanwhile
		wait := max(g.pauseLeft(), time.Until(last.Add(time.Second)))
		if wait <= 0 {
			break
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			if g.rate != nil {
				g.rate <- last
			}
			<-g.slots
			return nil, ctx.Err()
		}
	}
	release := func() {
		if g.rate != nil {
			g.rate <- time.Now()
		}
		<-g.slots
	}
	expiry := time.AfterFunc(min(timeout, flightDeadline)+lease, release)
	return func() {
		if expiry.Stop() { // otherwise the slot is already free
			release()
		}
	}, nil
}

// pauseLeft returns how long to wait before sending a request.
func (g *gate) pauseLeft() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Until(g.pauseEnd)
}

// pauseFor stops requests to the host for d. Requests that begin in that time get resp instead.
func (g *gate) pauseFor(d time.Duration, resp *http.Response) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if end := time.Now().Add(min(d, maxRetryAfter)); end.After(g.pauseEnd) {
		g.pauseEnd, g.throttle = end, &throttle{resp.StatusCode, resp.Header, bodyWithoutSecret(resp)}
	}
}

// throttled returns the response that req gets instead of being sent during a pause. Without a pause, it
// returns nil.
func (g *gate) throttled(req *http.Request) *http.Response {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !time.Now().Before(g.pauseEnd) {
		return nil
	}
	t := g.throttle
	header := t.header.Clone()
	header.Del("Retry-After-Ms")
	header.Del("X-Ms-Retry-After-Ms")
	header.Set("Retry-After", strconv.Itoa(int(math.Ceil(time.Until(g.pauseEnd).Seconds())))) // the rest of the pause
	return &http.Response{
		Status: fmt.Sprintf("%d %s", t.status, http.StatusText(t.status)), StatusCode: t.status,
		Header: header, Body: io.NopCloser(bytes.NewReader(t.body)), Request: req,
	}
}

// hasResponded reports whether the host itself has responded at this endpoint.
func (g *gate) hasResponded() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.genuine
}

// attempted records an attempt: whether there was a response (responded), the host itself sent it (genuine),
// and the attempt may be repeated (retriable).
func (g *gate) attempted(responded, genuine, retriable bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.genuine = g.genuine || genuine
	if responded && (g.silent || !retriable) {
		g.spent, g.silent = time.Time{}, false
	}
}

// spend records that a whole schedule has failed, and whether its last attempt got a response.
func (g *gate) spend(responded bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spent, g.silent = time.Now().Add(spentFor), !responded
}

// impatient reports whether requests make only one attempt, because a whole schedule has failed recently.
func (g *gate) impatient() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Before(g.spent)
}

// useless reports whether the gate isn't delaying or limiting any request.
func (g *gate) useless() bool {
	return len(g.slots) == 0 && g.pauseLeft() <= 0 && !g.impatient()
}
