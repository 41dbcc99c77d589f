// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"fmt"
	"slices"
	"time"
)

// This file is a sequential model of the cache: what each call returns and when, and which requests are
// sent, given the host's responses. modelrun_test.go compares the cache with it. The model shares only
// error values with the cache, so that they don't share bugs.

// moment is a time on both clocks, since the start of a run.
type moment struct{ wall, mono time.Duration }

func (m moment) plus(d time.Duration) moment { return moment{m.wall + d, m.mono + d} }
func (m moment) passed(now moment) bool      { return now.wall >= m.wall || now.mono >= m.mono }
func (m moment) first(o moment) moment       { return moment{min(m.wall, o.wall), min(m.mono, o.mono)} }

func (m moment) between(from, to moment) bool {
	return from.wall <= m.wall && m.wall <= to.wall && from.mono <= m.mono && m.mono <= to.mono
}

// modelEntry is what the model knows about a resource.
type modelEntry struct {
	token                string // "" for none
	renew, dying, expiry moment
	failures             int
	failed               bool // the last ordinary flight
	flights              []*modelFlight
	touched              moment // the end of the last flight, or the last drop
	rejected             string
	dropped              moment
	everDropped          bool
}

// outdated reports whether the flight's request didn't tell the host which token a service has rejected.
func (e *modelEntry) outdated(f *modelFlight) bool {
	return e.rejected != "" && f.rejected != e.rejected
}

func (e *modelEntry) valid(now moment) bool { return e.token != "" && !e.expiry.passed(now) }

// modelFlight is a request, from its start to its end.
type modelFlight struct {
	n           int // its number, from 0
	resource    string
	claims      string
	plan        plan
	attempt     int           // the current one, or the next
	attempting  bool          //
	next        time.Duration // when the attempt or the pause ends
	started     time.Duration
	startedMono time.Duration
	gone        bool // no more calls join it
	overtaken   bool
	kept        bool // it is a refresh
	background  bool
	callers     []*modelCall
	rejected    string
	over        bool // with result
	result      string
	until       moment // a failure is remembered until then
	returned    bool   // from its Transport
}

// modelCall is a call that has not returned.
type modelCall struct {
	n        int // its number
	resource string
	claims   string
	ends     time.Duration // its context; 0: never
	wait     time.Duration // the end of its wait for the refresh of a dying token; 0 if it doesn't wait
	refresh  *modelFlight  // the one that it waits for
}

// plan is what the host does with one request.
type plan struct {
	attempts   []time.Duration // how long each takes
	pause      time.Duration   // between them
	deaf       bool            // it ignores its context
	panics     bool
	token      string // "" for a failure
	life       time.Duration
	refresh    time.Duration
	retryAfter time.Duration
}

// modelRequest is an attempt of a request, as the host sees it.
type modelRequest struct {
	at              time.Duration
	flight, attempt int
	rejected        string // the token that the host is told to replace
}

// modelEvent is what Observe receives.
type modelEvent struct {
	at         time.Duration
	flight     int
	result     string
	attempts   int
	background bool
	took       time.Duration
}

// jitter returns what the cache has chosen at random. The model checks it and then uses it.
type jitter interface {
	renewal(resource string) (at moment, refreshOn time.Duration) // of the cached token; refreshOn 0: none
	memory(f int) (until moment, ok bool)                         // of a flight that failed
}

type model struct {
	now     time.Duration // on the wall clock
	ahead   time.Duration // of the monotonic clock
	entries map[string]*modelEntry
	flights []*modelFlight
	calls   []*modelCall // that are waiting
	swept   moment
	plans   func(n int, resource string) plan
	seen    jitter
	fail    func(format string, args ...any)

	// What the cache is compared with.
	returned map[int]string // call -> result
	requests []modelRequest
	events   []modelEvent
}

func (m *model) at() moment { return moment{m.now, m.now + m.ahead} }

func (m *model) entry(resource string) *modelEntry {
	e := m.entries[resource]
	if e == nil {
		e = &modelEntry{touched: m.at()}
		m.entries[resource] = e
	}
	return e
}

// call is a call of get at this moment.
func (m *model) call(c *modelCall) {
	c.wait = 0
	now := m.at()
	if e := m.entries[c.resource]; c.claims == "" && e != nil && e.valid(now) && !e.renew.passed(now) && !e.dying.passed(now) {
		m.returned[c.n] = e.token // a hit
		return
	}
	e := m.entry(c.resource)
	f := m.joinable(e, c.claims)
	if c.claims == "" && e.valid(now) {
		if e.renew.passed(now) {
			if f == nil || f.over {
				f = m.start(e, c.resource, "")
				f.background = true
			}
			f.kept = true
			e.renew = now.plus(190 * time.Second).first(e.expiry)
		}
		ended := c.ends != 0 && c.ends <= m.now
		half := min(e.expiry.wall-now.wall, e.expiry.mono-now.mono) / 2
		if f == nil || f.over || !e.dying.passed(now) || ended || half == 0 {
			m.returned[c.n] = e.token
			return
		}
		c.wait, c.refresh = m.now+min(2*time.Second, half), f
		m.calls = append(m.calls, c)
		return
	}
	if c.ends != 0 && c.ends <= m.now {
		m.returned[c.n] = "left"
		return
	}
	if f == nil {
		f = m.start(e, c.resource, c.claims)
	}
	if f.over {
		m.returned[c.n] = f.result
		return
	}
	f.callers = append(f.callers, c)
	m.calls = append(m.calls, c)
}

// joinable returns the flight that a call would share.
func (m *model) joinable(e *modelEntry, claims string) *modelFlight {
	for _, f := range e.flights {
		if f.claims == claims && !f.gone && (!f.over || !f.until.passed(m.at())) && !e.outdated(f) {
			return f
		}
	}
	return nil
}

func (m *model) start(e *modelEntry, resource, claims string) *modelFlight {
	f := &modelFlight{n: len(m.flights), resource: resource, claims: claims, started: m.now, startedMono: m.at().mono, plan: m.plans(len(m.flights), resource)}
	f.rejected = e.rejected
	if claims != "" && e.token != "" {
		f.rejected = e.token
	}
	m.flights = append(m.flights, f)
	e.flights = append(slices.DeleteFunc(e.flights, func(o *modelFlight) bool { return o.over && o.until.passed(m.at()) }), f)
	m.begin(f, f.rejected)
	return f
}

func (m *model) begin(f *modelFlight, rejected string) {
	f.attempting, f.next = true, m.now+f.plan.attempts[f.attempt]
	m.requests = append(m.requests, modelRequest{m.now, f.n, f.attempt, rejected})
}

// nextEvent returns the time of the next event, or 0 if there is none, and whether other events have the
// same time, so that their order is undefined.
func (m *model) nextEvent() (next time.Duration, tied bool) {
	consider := func(t time.Duration) {
		switch {
		case t == 0: // never
		case next == 0 || t < next:
			next, tied = t, false
		case t == next:
			tied = true
		}
	}
	for _, f := range m.flights {
		if !f.returned {
			consider(f.next)
			if m.now < f.started+180*time.Second && (!f.attempting || !f.plan.deaf) {
				consider(f.started + 180*time.Second)
			}
		}
		if !f.over {
			consider(f.started + 190*time.Second)
		}
	}
	for _, c := range m.calls {
		consider(c.ends)
		consider(c.wait)
	}
	return next, tied
}

// happen does what is due now.
func (m *model) happen() {
	for _, f := range m.flights {
		if !f.returned && f.next == m.now {
			m.proceed(f)
		}
		if !f.returned && m.now == f.started+180*time.Second && (!f.attempting || !f.plan.deaf) {
			m.comeBack(f, false) // its own deadline
		}
		if !f.over && m.now == f.started+190*time.Second {
			m.finish(f, "stuck", 0)
		}
	}
	for _, c := range slices.Clone(m.calls) {
		switch m.now {
		case c.wait:
			m.stopWaiting(c)
		case c.ends:
			m.leave(c)
		}
	}
}

// proceed ends the attempt or the pause of a flight.
func (m *model) proceed(f *modelFlight) {
	switch {
	case !f.attempting:
		m.begin(f, "")
		return
	case f.attempt == len(f.plan.attempts)-1:
		m.comeBack(f, f.plan.token != "")
		return
	}
	f.attempt++
	f.attempting = false
	if f.over || len(f.callers) == 0 && !f.kept {
		f.gone = true
		m.comeBack(f, false)
		return
	}
	if m.now >= f.started+180*time.Second {
		m.comeBack(f, false)
		return
	}
	f.next = m.now + f.plan.pause
}

// comeBack ends a flight's fetch.
func (m *model) comeBack(f *modelFlight, ok bool) {
	f.returned = true
	if f.over {
		return
	}
	if ok {
		m.finish(f, f.plan.token, 0)
	} else {
		m.finish(f, fmt.Sprintf("flight %d", f.n), f.plan.retryAfter)
	}
}

func (m *model) finish(f *modelFlight, result string, retryAfter time.Duration) {
	now, e := m.at(), m.entries[f.resource]
	ok := result == f.plan.token && result != ""
	f.over, f.result = true, result
	f.overtaken = f.overtaken || f.gone
	e.touched = now
	if ok {
		e.flights = slices.DeleteFunc(e.flights, func(o *modelFlight) bool { return o.over })
		for _, o := range m.flights {
			if o.resource == f.resource && o.over {
				o.gone = true
			}
		}
		if !(f.overtaken && e.valid(now)) && !(e.outdated(f) && result == e.rejected) {
			dying := f.plan.life - min(time.Minute, f.plan.life/10)
			for _, o := range e.flights {
				if f.claims != "" {
					o.overtaken = o.claims == "" || o.n < f.n
				}
			}
			if e.rejected != result {
				e.rejected = ""
			}
			e.token, e.renew, e.dying, e.expiry = result, m.scheduled(f), now.plus(dying), now.plus(f.plan.life)
			e.failures, e.failed = 0, false
		}
	} else {
		if !f.gone {
			f.until = m.remembered(f, retryAfter)
		}
		valid := e.valid(now)
		if f.claims == "" && !(f.overtaken && valid) {
			e.failures++
			e.failed = true
			if valid {
				e.renew = m.paused(e, f.resource, retryAfter)
			}
		}
	}
	m.events = append(m.events, modelEvent{m.now, f.n, result, f.madeAttempts(), f.background, now.mono - f.startedMono})
	if m.swept.plus(10 * time.Minute).passed(now) {
		m.sweep()
	}
	for _, c := range f.callers {
		m.resolve(c, result, ok)
	}
	f.callers = nil
	for _, c := range slices.Clone(m.calls) { // those that wait for the refresh of a dying token
		if c.wait != 0 && c.refresh == f {
			m.stopWaiting(c)
		}
	}
}

func (f *modelFlight) madeAttempts() int {
	if f.attempting {
		return f.attempt + 1
	}
	return f.attempt
}

// resolve returns a flight's result to a call.
func (m *model) resolve(c *modelCall, result string, ok bool) {
	if e := m.entries[c.resource]; !ok && c.claims == "" && e.valid(m.at()) {
		result = e.token
	}
	m.returned[c.n] = result
	m.forget(c)
}

func (m *model) forget(c *modelCall) {
	m.calls = slices.DeleteFunc(m.calls, func(o *modelCall) bool { return o == c })
}

// stopWaiting ends the wait for the refresh of a dying token.
func (m *model) stopWaiting(c *modelCall) {
	m.forget(c)
	if e := m.entries[c.resource]; e != nil && e.valid(m.at()) {
		m.returned[c.n] = e.token
		return
	}
	m.call(c) // the machine was suspended meanwhile, or the token was dropped
}

// leave is the end of a call's context.
func (m *model) leave(c *modelCall) {
	if c.wait != 0 {
		m.stopWaiting(c)
		return
	}
	for _, f := range m.flights {
		if i := slices.Index(f.callers, c); i >= 0 {
			f.callers = slices.Delete(f.callers, i, i+1)
			m.resolve(c, "left", false)
			if len(f.callers) == 0 && !f.kept && !f.attempting {
				f.gone = true
				m.comeBack(f, false)
			}
		}
	}
}

// drop is Invalidate.
func (m *model) drop(token string) {
	for _, e := range m.entries {
		if now := m.at(); token != "" && e.token == token && (!e.everDropped || e.dropped.plus(time.Minute).passed(now)) {
			e.rejected, e.dropped, e.everDropped, e.touched, e.token = token, now, true, now, ""
			for _, f := range e.flights {
				f.overtaken = f.overtaken || f.rejected != token
			}
		}
	}
}

// sweep removes entries without anything useful.
func (m *model) sweep() {
	now := m.at()
	for resource, e := range m.entries {
		busy := slices.ContainsFunc(e.flights, func(f *modelFlight) bool { return !f.gone && (!f.over || !f.until.passed(now)) })
		if !busy && !e.valid(now) && e.touched.plus(10*time.Minute).passed(now) {
			delete(m.entries, resource)
		}
	}
	m.swept = now
}

// scheduled returns when the token of a flight is due for renewal.
func (m *model) scheduled(f *modelFlight) moment {
	life, latest := f.plan.life, time.Duration(0)
	switch {
	case f.plan.refresh > 0 && f.plan.refresh < life:
		latest = min(f.plan.refresh, 12*time.Hour)
	case life > 2*time.Hour:
		latest = min(life/2, 12*time.Hour)
	}
	got, refreshOn := m.seen.renewal(f.resource)
	if latest == 0 {
		m.require(refreshOn == 0, "a RefreshOn %v for a token of %v", refreshOn, life)
		return m.at().plus(life - min(5*time.Minute, life/10))
	}
	after := got.wall - m.now
	m.require(after <= latest && after >= latest-latest/10-1, "renewal after %v, want up to a tenth before %v", after, latest)
	m.require(refreshOn == got.wall, "a RefreshOn of %v for a renewal at %v", refreshOn, got.wall)
	return m.at().plus(after)
}

func (m *model) require(ok bool, format string, args ...any) {
	if !ok {
		m.fail(format, args...)
	}
}

// paused returns when a refresh that failed is repeated.
func (m *model) paused(e *modelEntry, resource string, retryAfter time.Duration) moment {
	shortest := min(30*time.Second<<min(e.failures-1, 10), 5*time.Minute)
	longest := shortest + shortest/10
	got, _ := m.seen.renewal(resource)
	now := m.at()
	from, to := now.plus(max(shortest, retryAfter)).first(e.expiry), now.plus(max(longest, retryAfter)).first(e.expiry)
	m.require(got.between(from, to), "pause until %v, want %v to %v", got, from, to)
	return got
}

// remembered returns until when a failure is remembered.
func (m *model) remembered(f *modelFlight, retryAfter time.Duration) moment {
	got, ok := m.seen.memory(f.n)
	m.require(ok, "the failure of flight %d is not remembered", f.n)
	from, to := m.at().plus(max(900*time.Millisecond, retryAfter)), m.at().plus(max(1100*time.Millisecond, retryAfter))
	m.require(got.between(from, to), "flight %d is remembered until %v, want %v to %v", f.n, got, from, to)
	return got
}
