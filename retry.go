// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// tryTimeout limits one attempt, from its turn to the end of its response. A host may need time to get a
// token from Microsoft Entra ID, but less than this.
const tryTimeout = time.Minute

// patient is the schedule that IMDS documents: five retries of 404, 408, 410, 429, and 5xx, with pauses that
// grow from 2 s to at most 60 s. With jitter, the pauses add up to 91 to 128 s, more than the 70 s that an
// update of IMDS (410) may take.
var patient = policy.RetryOptions{
	MaxRetries:    5,
	RetryDelay:    2 * time.Second,
	MaxRetryDelay: time.Minute,
	TryTimeout:    tryTimeout,
	StatusCodes:   serverErrorsAnd(404, 408, 410, 429),
}

// sidecar is the same schedule for the hosts that are known by their variables, because their token endpoint
// may start after the program. Their 404 is final, because it means that the identity doesn't exist.
var sidecar = policy.RetryOptions{
	MaxRetries:    patient.MaxRetries,
	RetryDelay:    patient.RetryDelay,
	MaxRetryDelay: patient.MaxRetryDelay,
	TryTimeout:    tryTimeout,
	StatusCodes:   serverErrorsAnd(408, 410, 429),
}

// serverErrorsAnd returns statuses and all of 5xx.
func serverErrorsAnd(statuses ...int) []int {
	for status := 500; status <= 599; status++ {
		statuses = append(statuses, status)
	}
	return statuses
}

// brief is azcore's default schedule, 7 to 11 s, for the Arc agent, so that a chain continues within seconds
// on a server whose agent is stopped. The agent's 404 is final.
var brief = policy.RetryOptions{
	MaxRetries:    3,
	RetryDelay:    800 * time.Millisecond,
	MaxRetryDelay: time.Minute,
	TryTimeout:    tryTimeout,
	StatusCodes:   []int{408, 429, 500, 502, 503, 504},
}

// retry is the pipeline policy that makes the attempts of a request. azcore's retry policy can't be used:
// it drops the response when its context ends, and counts the wait for a slot as part of an attempt.
type retry struct {
	gate    *gate
	options policy.RetryOptions // the caller's, completed by the host's schedule
	known   func() bool         // whether the host is known to exist
	source  source
}

// complete returns o with the schedule's values instead of zeros. As in azcore, a negative value means none.
func complete(o, schedule policy.RetryOptions) policy.RetryOptions {
	o.MaxRetries = cmp.Or(o.MaxRetries, schedule.MaxRetries)
	o.RetryDelay = max(cmp.Or(o.RetryDelay, schedule.RetryDelay), 0)
	if o.MaxRetryDelay = cmp.Or(o.MaxRetryDelay, schedule.MaxRetryDelay); o.MaxRetryDelay < 0 {
		o.MaxRetryDelay = math.MaxInt64
	}
	if o.TryTimeout = cmp.Or(o.TryTimeout, schedule.TryTimeout); o.TryTimeout < 0 {
		o.TryTimeout = flightDeadline
	}
	if o.StatusCodes == nil {
		o.StatusCodes = schedule.StatusCodes
	}
	return o
}

// Do implements [policy.Policy].
func (p *retry) Do(req *policy.Request) (*http.Response, error) {
	ctx := req.Raw().Context() // ends with the flight, or when its last caller leaves between two attempts
	progress := progressOf(ctx)
	if resp := p.gate.throttled(req.Raw()); resp != nil {
		progress.last.Store(&failure{p.source.explain(resp, nil)})
		return resp, nil
	}
	for n := 1; ; n++ {
		resp, err := p.attempt(ctx, req, progress)
		if errors.Is(err, errNoAttempt) {
			return nil, ctx.Err()
		}
		progress.attempts.Add(1)
		retriable := p.retriable(resp, err)
		p.gate.attempted(statusOf(resp, err) != 0, p.source.genuine(resp, err), retriable)
		pause, again := p.pause(n, resp, err, retriable)
		if !granted(resp) {
			progress.last.Store(&failure{p.source.explain(resp, err)})
		}
		if !again || !progress.end() {
			logAttempt(&progress.journal, n, resp, err, 0)
			return resp, err
		}
		logAttempt(&progress.journal, n, resp, err, pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return resp, err
		}
	}
}

// errNoAttempt reports that the last caller left, or the flight ended, before the attempt.
var errNoAttempt = errors.New("no attempt was made")

// attempt makes one attempt. It ends with the flight, but not when the last caller leaves, because a
// request that was sent may still return a token.
func (p *retry) attempt(ctx context.Context, req *policy.Request, progress *progress) (*http.Response, error) {
	leave, err := p.gate.enter(ctx, p.options.TryTimeout)
	if err != nil {
		return nil, errNoAttempt
	}
	defer leave()
	if !progress.begin() {
		return nil, errNoAttempt
	}
	resp, err := req.WithContext(context.WithoutCancel(ctx)).Next()
	if d := pauseAsked(resp); d > 0 {
		p.gate.pauseFor(d, resp)
	}
	return resp, err
}

// pauseAsked returns the pause that a 429 or 503 response asks for, and 0 for all others.
func pauseAsked(resp *http.Response) time.Duration {
	if resp == nil || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	return retryAfter(resp.Header)
}

// timeout is the pipeline policy that ends an attempt after TryTimeout. It is below [retry], whose wait
// for a turn doesn't count.
type timeout time.Duration

// Do implements [policy.Policy].
func (d timeout) Do(req *policy.Request) (*http.Response, error) {
	ctx := req.Raw().Context()
	ctx, cancel := progressOf(ctx).attemptContext(ctx, time.Duration(d))
	defer cancel() // the transport has read the body
	return req.WithContext(ctx).Next()
}

// retriable reports whether an attempt may be repeated: after no response, a truncated success, or a status
// in the schedule. A NonRetriable error is final, whether azhost or a custom policy returned it.
func (p *retry) retriable(resp *http.Response, err error) bool {
	if _, ok := errors.AsType[interface {
		error
		NonRetriable()
	}](err); ok {
		return false
	}
	if p.options.ShouldRetry != nil {
		return p.options.ShouldRetry(resp, err)
	}
	status := statusOf(resp, err)
	if err != nil && (status == 0 || status/100 == 2) {
		return true
	}
	return slices.Contains(p.options.StatusCodes, status)
}

// pause returns how long to wait after the n-th attempt, and whether another one follows.
func (p *retry) pause(n int, resp *http.Response, err error, retriable bool) (time.Duration, bool) {
	switch {
	case !retriable, !p.known(), p.gate.impatient():
		return 0, false
	case n > int(p.options.MaxRetries):
		if n > 1 {
			p.gate.spend(statusOf(resp, err) != 0)
		}
		return 0, false
	}
	if resp != nil {
		if d := retryAfter(resp.Header); d > 0 {
			return spread(d, p.options.MaxRetryDelay), d <= p.options.MaxRetryDelay
		}
	}
	d := float64(p.options.RetryDelay) * (math.Exp2(float64(n)) - 1) * (0.8 + 0.5*rand.Float64()) // azcore's formula
	return time.Duration(min(d, float64(p.options.MaxRetryDelay))), true
}

// retryAfter returns the pause that a host requests, from the headers that azcore knows, or 0.
func retryAfter(h http.Header) time.Duration {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if ms, err := strconv.Atoi(h.Get(name)); err == nil && ms > 0 && ms <= 1<<30 {
			return time.Duration(ms) * time.Millisecond
		}
	}
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 && seconds <= 1<<20 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		pause := time.Until(at)
		if date, err := http.ParseTime(h.Get("Date")); err == nil && (pause <= 0 || at.Sub(date) < pause) {
			pause = at.Sub(date) // the two clocks may differ
		}
		return max(pause, 0)
	}
	return 0
}

// spread adds a random part of d/2 + 1 s, up to limit, so that clients that were throttled together don't
// retry together.
func spread(d, limit time.Duration) time.Duration {
	room := min(d/2+time.Second, limit-d)
	if room <= 0 {
		return d
	}
	return d + rand.N(room)
}

// statusOf returns the status of a response, even of one that was rejected, or 0 if there was none.
func statusOf(resp *http.Response, err error) int {
	if err != nil {
		resp = responseOf(err)
	}
	if resp == nil {
		return 0
	}
	return resp.StatusCode
}
