// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Fault is an answer other than the host's own. The zero value is the host's own answer.
type Fault struct {
	Status int           // 0: the host's own answer, late or cut
	Header http.Header   //
	Body   string        //
	Delay  time.Duration // before the answer
	Drop   bool          // the connection is closed without an answer
	Cut    bool          // the connection is closed in the middle of the body
}

func (f Fault) reply() reply {
	header := f.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	return reply{status: f.Status, header: header, body: []byte(f.Body), drop: f.Drop, cut: f.Cut}
}

// Fail answers the next requests with faults, one each, in order.
func (h *Host) Fail(faults ...Fault) { h.set(func() { h.faults = append(h.faults, faults...) }) }

// FailWhile asks f about every request that Fail has no fault for. A nil f ends that. It is called
// with the host locked, so it must not call the host.
func (h *Host) FailWhile(f func(Request) (Fault, bool)) { h.set(func() { h.failWhile = f }) }

// FailUntil answers with the fault until end.
func (h *Host) FailUntil(end time.Time, fault Fault) {
	h.FailWhile(func(r Request) (Fault, bool) { return fault, r.Time.Before(end) })
}

// FailRate answers a part of the requests, 0 to 1, with one of the faults, by a random sequence
// that is the same for the same seed.
func (h *Host) FailRate(rate float64, seed uint64, faults ...Fault) {
	random := rand.New(rand.NewPCG(seed, seed))
	h.FailWhile(func(Request) (Fault, bool) {
		return faults[random.IntN(len(faults))], random.Float64() < rate
	})
}

// nextFault returns the fault for a request. The caller holds h.mu.
func (h *Host) nextFault(r Request) (Fault, bool) {
	if len(h.faults) > 0 {
		f := h.faults[0]
		h.faults = h.faults[1:]
		return f, true
	}
	if h.failWhile != nil {
		if f, ok := h.failWhile(r); ok {
			return f, true
		}
	}
	return Fault{}, false
}

// Updating is IMDS while it is updated, for at most 70 s: 410.
func Updating() Fault { return Fault{Status: http.StatusGone} }

// Throttled is a host with too many requests: 429, with a Retry-After unless that is zero.
func Throttled(retryAfter time.Duration) Fault {
	f := jsonFault(http.StatusTooManyRequests, "too_many_requests", "Too many requests")
	if retryAfter > 0 {
		f.Header.Set("Retry-After", strconv.Itoa(int(retryAfter.Round(time.Second)/time.Second)))
	}
	return f
}

// ServerError is a host that could not get a token from Microsoft Entra: 500.
func ServerError() Fault {
	return jsonFault(http.StatusInternalServerError, "unknown", "Failed to retrieve token from the Active directory")
}

// WireServer is the Azure host's answer while IMDS restarts: a 500 that does not look like IMDS.
func WireServer() Fault {
	return Fault{Status: http.StatusInternalServerError, Body: "Internal Server Error",
		Header: http.Header{"Server": {"Microsoft-IIS/10.0"}, "Content-Type": {"text/plain"}}}
}

// InvalidResource is the answer for a resource that the tenant does not know: 400.
func InvalidResource() Fault {
	return jsonFault(http.StatusBadRequest, "invalid_resource", "AADSTS50001: The resource principal was not found in the tenant.")
}

// Portal is a captive portal's page in the place of the host: 200.
func Portal() Fault {
	return Fault{Status: http.StatusOK, Body: "<html><body>Please sign in</body></html>", Header: http.Header{"Content-Type": {"text/html"}}}
}

func jsonFault(status int, code, description string) Fault {
	return Fault{Status: status, Body: string(encode(map[string]any{"error": code, "error_description": description})),
		Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}}
}
