// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"sync/atomic"
	"time"
)

// progress connects a flight and its attempts (retry.go). It is a value of the request's context.
type progress struct {
	cache   *cache // nil without a flight
	entry   *entry
	flight  *flight
	ctx     context.Context // of the flight; ends early only if the last caller leaves, and never during an attempt
	journal journal

	attempts atomic.Int32            // number of finished attempts
	last     atomic.Pointer[failure] // of the last attempt without a token, for callers that leave
}

// failure is the error of an attempt without a token.
type failure struct{ err error }

type progressKey struct{}

func withProgress(ctx context.Context, p *progress) context.Context {
	return context.WithValue(ctx, progressKey{}, p)
}

// progressOf returns the progress in ctx. If a custom policy has replaced the context, attempts use that
// context and are not recorded.
func progressOf(ctx context.Context) *progress {
	if p, ok := ctx.Value(progressKey{}).(*progress); ok {
		return p
	}
	return &progress{ctx: ctx}
}

// begin reports whether an attempt may be made, because a caller waits for it.
func (p *progress) begin() bool { return p.cache == nil || p.cache.begin(p.entry, p.flight) }

// end reports whether another attempt may follow one that failed.
func (p *progress) end() bool { return p.cache == nil || p.cache.end(p.entry, p.flight) }

// attemptContext returns the context of one attempt, with the values of ctx, which per-call policies
// may have set. It ends after d, or with the flight.
func (p *progress) attemptContext(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := p.ctx.Deadline(); ok {
		d = min(d, time.Until(end))
	}
	return context.WithTimeout(ctx, d)
}

func (p *progress) count() int { return int(p.attempts.Load()) }

// lastFailure returns the error of the last failed attempt, or nil.
func (p *progress) lastFailure() error {
	if f := p.last.Load(); f != nil {
		return f.err
	}
	return nil
}
