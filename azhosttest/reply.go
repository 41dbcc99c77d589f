// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"time"
)

// reply is a response for either transport.
type reply struct {
	status int
	header http.Header
	body   []byte
	drop   bool // close the connection instead
	cut    bool // close the connection in the middle of the body
	token  bool // the body has a token
}

// length returns the Content-Length. For a truncated body, it is at least one byte, so that something is
// missing.
func (r reply) length() int {
	if r.cut {
		return max(len(r.body), 1)
	}
	return len(r.body)
}

// answer returns the response after the latency, or an error if the request's context is done first.
func (h *Host) answer(req *http.Request) (reply, error) {
	if r, ok := h.published(req); ok {
		return r, nil
	}
	entry := h.newRequest(req)
	logged := &entry
	h.mu.Lock()
	s := h.settings
	throttled := h.throttled(entry.Time)
	var fault Fault
	faulty := !throttled && len(h.faults) > 0
	if faulty {
		fault, h.faults = h.faults[0], h.faults[1:]
	}
	h.record(logged)
	seen := *logged
	h.mu.Unlock()
	if !throttled {
		defer h.set(func() { h.underWay-- })
		if !faulty && s.failWhile != nil {
			if f, ok := s.failWhile(seen); ok {
				fault = f
			}
		}
	}
	if err := sleep(req.Context(), s.latency+fault.Delay); err != nil {
		return reply{}, err
	}
	var r reply
	switch {
	case throttled:
		r = h.own(h.refuse(http.StatusTooManyRequests, "too_many_requests", "Too many requests"))
		r.header.Set("Retry-After", "1")
	case fault.own():
		r = h.own(h.respond(req, &seen, s))
		r.cut = fault.Cut
	default:
		r = fault.reply()
	}
	seen.Status = r.status
	h.set(func() {
		logged.Status = r.status
		if r.token {
			h.tokens++
		}
	})
	if s.observer != nil {
		s.observer(seen)
	}
	return r, nil
}

// own adds the headers of the host's normal responses, which faults don't have.
func (h *Host) own(r reply) reply {
	if h.server != "" {
		r.header.Set("Server", h.server)
		r.header.Set("X-Ms-Request-Id", guid(rand.Text()))
	}
	return r
}

// throttled counts a request and reports whether it exceeds a limit. The caller holds h.mu.
func (h *Host) throttled(now time.Time) bool {
	h.recent = slices.DeleteFunc(h.recent, func(t time.Time) bool { return now.Sub(t) >= time.Second })
	s := &h.settings
	if s.perSecond > 0 && len(h.recent) >= s.perSecond || s.atOnce > 0 && h.underWay >= s.atOnce {
		return true
	}
	if s.perSecond > 0 {
		h.recent = append(h.recent, now)
	}
	h.underWay++
	return false
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
