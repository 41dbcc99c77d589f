// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// modelRun is a cache and its model, which get the same calls.
type modelRun struct {
	*cache
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	start   time.Time
	model   *model
	history []func() string
	calls   int
	tied    bool // two things were due at the same nanosecond, which ends the run

	compared struct{ calls, requests, events int }

	mu       sync.Mutex // guards what the cache's goroutines write
	fetches  int
	requests []modelRequest
	events   []modelEvent
	returned map[int]string
	expiry   map[int]time.Time // of the token of each fetch
}

var modelResources = []string{"r", "s"}

func newModelRun(t *testing.T, seed uint64) *modelRun {
	r := &modelRun{
		cache: newCache(false), t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), start: time.Now(), returned: map[int]string{}, expiry: map[int]time.Time{},
	}
	r.model = &model{entries: map[string]*modelEntry{}, returned: map[int]string{}, plans: r.plan, seen: r, fail: r.fail}
	return r
}

func (r *modelRun) fail(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("seed %d, after %v: %s\ncalls:", r.seed, r.model.now, fmt.Sprintf(format, args...))
	for _, line := range r.history {
		r.t.Log(line())
	}
	for _, f := range r.model.flights {
		r.t.Logf("flight %d, claims %q: %+v", f.n, f.claims, f.plan)
	}
	r.t.Fatalf("the model's requests: %+v\nevents: %+v\nresults: %v, got %v", r.model.requests, r.model.events, r.model.returned, r.returned)
}

// pick returns one of the durations, and up to a tenth more, so that no two things happen at once.
func pick(random *rand.Rand, from ...time.Duration) time.Duration {
	d := from[random.IntN(len(from))]
	return d + time.Duration(random.Int64N(int64(d)/10+2))
}

// plan is what the host does with the n-th request for a token.
func (r *modelRun) plan(n int, resource string) plan {
	random := rand.New(rand.NewPCG(r.seed, uint64(n)+1))
	p := plan{pause: pick(random, time.Second, 20*time.Second)}
	for len(p.attempts) == 0 || len(p.attempts) < 4 && random.IntN(4) == 0 {
		p.attempts = append(p.attempts, pick(random, time.Millisecond, time.Millisecond, time.Second, 3*time.Second, 20*time.Second, 65*time.Second))
	}
	switch random.IntN(12) {
	case 0, 1, 2:
	case 3:
		p.retryAfter = pick(random, 500*time.Millisecond, 5*time.Second, 100*time.Second)
	case 4:
		p.deaf = true
		p.attempts[len(p.attempts)-1] = pick(random, 100*time.Second, 185*time.Second, 250*time.Second)
		fallthrough
	default:
		p.token = fmt.Sprintf("%s%d", resource, n)
		if random.IntN(4) == 0 {
			p.token = resource // as from a host with a cache
		}
	}
	p.panics = p.token == "" && p.retryAfter == 0 && random.IntN(4) == 0
	p.life = pick(random, 20*time.Second, 3*time.Minute, time.Hour, 2*time.Hour-12*time.Minute, 5*time.Hour, 24*time.Hour, 40*time.Hour)
	if random.IntN(3) == 0 {
		p.refresh = pick(random, p.life/20, p.life/2, p.life-p.life/9, p.life)
	}
	return p
}

// requester returns the requester of one call.
func (r *modelRun) requester() *requester {
	var flights []int // its unfinished flights
	return &requester{
		from: nowhere,
		fetch: func(ctx context.Context, w want) (azcore.AccessToken, error) {
			r.mu.Lock()
			n := r.fetches
			r.fetches++
			flights = append(flights, n)
			r.mu.Unlock()
			return r.fetch(ctx, w, n, r.plan(n, w.resource))
		},
		observe: func(e Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			i, result := 0, "" // the oldest is dropped first
			if e.Err == nil {
				i = slices.IndexFunc(flights, func(n int) bool { return r.expiry[n].Equal(e.ExpiresOn) })
				result = r.plan(flights[i], e.Resource).token
			} else if _, n, ok := strings.Cut(e.Err.Error(), "flight "); ok {
				i = slices.IndexFunc(flights, func(f int) bool { return strconv.Itoa(f) == n })
			}
			n := flights[i]
			flights = slices.Delete(flights, i, i+1)
			r.events = append(r.events, modelEvent{time.Since(r.start), n, resultOf(result, e.Err), e.Attempts, e.Background, e.Duration})
		},
	}
}

// fetch makes the attempts of a request as retry.go does.
func (r *modelRun) fetch(ctx context.Context, w want, n int, p plan) (azcore.AccessToken, error) {
	down := failed(nil, nil, "flight %d", n)
	down.retryAfter = p.retryAfter
	progress := progressOf(ctx)
	for i, takes := range p.attempts {
		if !progress.begin() {
			return azcore.AccessToken{}, down
		}
		progress.attempts.Add(1)
		r.mu.Lock()
		r.requests = append(r.requests, modelRequest{time.Since(r.start), n, i, w.rejected})
		r.mu.Unlock()
		w.rejected = ""
		end := progress.ctx.Done()
		if p.deaf {
			end = nil
		}
		select {
		case <-time.After(takes):
		case <-end:
			return azcore.AccessToken{}, down
		}
		if i == len(p.attempts)-1 {
			break
		}
		if !progress.end() {
			return azcore.AccessToken{}, down
		}
		select {
		case <-time.After(p.pause):
		case <-ctx.Done():
			return azcore.AccessToken{}, down
		}
	}
	switch {
	case p.panics:
		panic(fmt.Sprintf("flight %d", n))
	case p.token == "":
		return azcore.AccessToken{}, down
	}
	token := azcore.AccessToken{Token: p.token, ExpiresOn: time.Now().Add(p.life)}
	r.mu.Lock()
	r.expiry[n] = token.ExpiresOn
	r.mu.Unlock()
	if p.refresh > 0 {
		token.RefreshOn = time.Now().Add(p.refresh)
	}
	return token, nil
}

// resultOf describes the result of a call in the model's terms.
func resultOf(token string, err error) string {
	switch {
	case err == nil:
		return token
	case errors.Is(err, errStuck):
		return "stuck"
	case strings.Contains(err.Error(), "gave up waiting"):
		return "left"
	}
	return err.Error()[strings.LastIndex(err.Error(), "flight"):]
}

// renewal implements jitter.
func (r *modelRun) renewal(resource string) (moment, time.Duration) {
	s := r.entries[resource].state
	if s.token.RefreshOn.IsZero() {
		return r.moment(s.renew), 0
	}
	return r.moment(s.renew), s.token.RefreshOn.Sub(r.start)
}

// memory implements jitter.
func (r *modelRun) memory(n int) (moment, bool) {
	for _, e := range r.entries {
		for _, f := range e.flights {
			if f.number == uint64(n)+1 {
				return r.moment(f.until), true
			}
		}
	}
	return moment{}, false
}

func (r *modelRun) moment(i instant) moment {
	return moment{time.Duration(i.wall - r.start.UnixNano()), time.Duration(i.mono)}
}

// advance lets time pass until end, and updates the model at every event.
func (r *modelRun) advance(end time.Duration) {
	for {
		next, tied := r.model.nextEvent()
		if next == 0 || next > end {
			break
		}
		if r.tied = tied; tied {
			return
		}
		r.sleepUntil(next)
		r.model.happen()
		r.compare()
		if next == end {
			end++ // not at the same time as the run's next step
		}
	}
	r.sleepUntil(end)
}

func (r *modelRun) sleepUntil(end time.Duration) {
	time.Sleep(end - r.model.now)
	synctest.Wait()
	r.model.now = end
}

// moments returns the times at which something changes without an event.
func (r *modelRun) moments() []time.Duration {
	var all []time.Duration
	add := func(at moment) {
		if t := min(at.wall, at.mono-r.model.ahead); t > r.model.now {
			all = append(all, t)
		}
	}
	for _, resource := range modelResources {
		e := r.model.entries[resource]
		if e == nil {
			continue
		}
		if e.token != "" {
			add(e.renew)
			add(e.dying)
			add(e.expiry)
		}
		if e.everDropped {
			add(e.dropped.plus(time.Minute))
		}
		add(e.touched.plus(10 * time.Minute))
		for _, f := range e.flights {
			add(f.until)
		}
	}
	add(r.model.swept.plus(10 * time.Minute))
	return all
}

// step does one thing at random.
func (r *modelRun) step() {
	d := pick(r.random, time.Millisecond, time.Second, 10*time.Second, time.Minute, 10*time.Minute)
	if moments := r.moments(); len(moments) > 0 && r.random.IntN(2) == 0 {
		at := moments[r.random.IntN(len(moments))] + time.Duration(r.random.IntN(3)-1)
		d = max(at-r.model.now, 1)
	}
	if r.advance(r.model.now + d); r.tied {
		return
	}
	resource := modelResources[r.random.IntN(len(modelResources))]
	switch n := r.random.IntN(24); {
	case n < 2:
		r.invalidate(resource)
	case n == 2:
		r.note("sweep")
		r.cache.mu.Lock()
		r.cache.sweep(r.cache.at(time.Now()))
		r.cache.mu.Unlock()
		r.model.sweep()
	case n == 3 && modelJumps:
		d := pick(r.random, time.Second, 30*time.Second, 10*time.Minute, 10*time.Hour) * time.Duration(r.random.IntN(2)*2-1)
		r.note("the monotonic clock jumps by %v", d)
		r.cache.mu.Lock()
		r.cache.epoch = r.cache.epoch.Add(-d)
		r.cache.mu.Unlock()
		r.model.ahead += d
	default:
		r.call(resource)
	}
	r.compare()
}

func (r *modelRun) note(format string, args ...any) {
	now := r.model.now
	r.history = append(r.history, func() string { return fmt.Sprintf("%v ", now) + fmt.Sprintf(format, args...) })
}

func (r *modelRun) invalidate(resource string) {
	token := "of long ago"
	if e := r.model.entries[resource]; e != nil && r.random.IntN(4) > 0 {
		token = e.token
	}
	if token == "" {
		return
	}
	r.note("Invalidate(%q)", token)
	r.cache.drop(token)
	r.model.drop(token)
}

func (r *modelRun) call(resource string) {
	c := &modelCall{n: r.calls, resource: resource}
	r.calls++
	ctx, cancel := context.WithCancel(context.Background())
	if n := r.random.IntN(8); n < 2 {
		c.claims = []string{"a", "b"}[n]
	}
	switch n := r.random.IntN(8); {
	case n == 0:
		cancel()
		c.ends = r.model.now
	case n < 5:
		d := pick(r.random, time.Millisecond, time.Second, 10*time.Second, 100*time.Second)
		ctx, cancel = context.WithTimeout(ctx, d)
		c.ends = r.model.now + d
	}
	r.note("call %d for %s, claims %q, until %v", c.n, resource, c.claims, c.ends)
	by := r.requester()
	go func() {
		defer cancel()
		token, err := r.cache.get(ctx, resource, c.claims, by)
		if _, ok := r.cache.valid(resource); ok && err != nil && c.claims == "" {
			err = errors.New("flight: an error although there is a valid token")
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.returned[c.n] = resultOf(token.Token, err)
	}()
	synctest.Wait()
	r.model.call(c)
}

// compare requires that the cache is as the model says.
func (r *modelRun) compare() {
	m := r.model
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	equal := func(what string, got, want any) {
		if got != want {
			r.fail("%s: %v, want %v", what, got, want)
		}
	}
	equal("calls that have returned", len(r.returned), len(m.returned))
	for ; r.compared.calls < r.calls; r.compared.calls++ { // up to the first that waits
		want, ok := m.returned[r.compared.calls]
		if !ok {
			break
		}
		equal("result of a call", r.returned[r.compared.calls], want)
	}
	same(r, "requests", r.requests, m.requests, &r.compared.requests)
	same(r, "events", r.events, m.events, &r.compared.events)
	equal("entries", len(r.entries), len(m.entries))
	equal("time of the last sweep", r.moment(r.cache.swept), m.swept)
	for resource, e := range m.entries {
		s := r.entries[resource].state
		equal("token", s.token.Token, e.token)
		if e.token != "" {
			equal("renewal", r.moment(s.renew), e.renew)
			equal("last minute", r.moment(s.dying), e.dying)
			equal("expiry", r.moment(s.expiry), e.expiry)
		}
		equal("failures", s.failures, e.failures)
		equal("failed", s.err != nil, e.failed)
	}
	seen := 0
	r.states.Range(func(resource, v any) bool {
		seen++
		equal("state", v.(*state), r.entries[resource.(string)].state)
		return true
	})
	m.require(seen <= len(m.entries), "%d states of %d entries", seen, len(m.entries))
}

// same requires that a list has the same new elements as the model's.
func same[T comparable](r *modelRun, what string, got, want []T, compared *int) {
	if !slices.Equal(got[*compared:], want[*compared:]) {
		r.fail("%s: %+v, want %+v", what, got, want)
	}
	*compared = len(want)
}

// TestModel runs random calls, claims, cancellations, failures, drops, sweeps and jumps of the clocks
// against the cache and its model. To run the sequences of a seed first, set MODEL_SEED to it.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	if s, err := strconv.ParseUint(os.Getenv("MODEL_SEED"), 10, 64); err == nil {
		seed = s
	}
	const groups = 4
	for group := range groups {
		t.Run(fmt.Sprint(group), func(t *testing.T) {
			t.Parallel()
			for n := 0; n < modelRuns/groups && !t.Failed(); n++ {
				synctest.Test(t, func(t *testing.T) { runModel(t, seed+uint64(groups*n+group)) })
			}
		})
	}
}

func runModel(t *testing.T, seed uint64) {
	defer time.Sleep(10 * time.Minute) // so that all goroutines end, even after a failure
	r := newModelRun(t, seed)
	for n := 5 + r.random.IntN(15); n > 0 && !r.tied; n-- {
		r.step()
	}
	if !r.tied {
		r.advance(r.model.now + 10*time.Minute)
	}
	if len(r.model.calls) > 0 && !r.tied {
		r.fail("%d calls do not return", len(r.model.calls))
	}
}
