// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Fault is an answer other than the host's own, sent as it is. The zero value is the host's own
// answer. The ready-made faults that have a JSON body have it in the form of IMDS and Arc.
type Fault struct {
	Status int           // 200 to 599; 0 means 200 with a Body, and the host's own answer without
	Header http.Header   // for example Retry-After
	Body   string        // of any form
	Delay  time.Duration // before the answer
	Drop   bool          // the connection is closed without an answer
	Cut    bool          // the connection is closed in the middle of the body
}

// own reports whether the host's own answer is sent, late or cut.
func (f Fault) own() bool { return f.Status == 0 && f.Body == "" && !f.Drop }

func (f Fault) reply() reply {
	switch {
	case f.Drop:
		return reply{drop: true}
	case f.Status == 0:
		f.Status = http.StatusOK
	case f.Status < 200 || f.Status > 599:
		return jsonReply(http.StatusInternalServerError, "azhosttest", fmt.Sprintf("Fault.Status %d is not 200 to 599", f.Status))
	}
	header := http.Header{}
	for name, values := range f.Header {
		for _, v := range values {
			header.Add(name, v) // canonical, as a socket would make it
		}
	}
	return reply{status: f.Status, header: header, body: []byte(f.Body), cut: f.Cut}
}

// Fail answers the next requests with faults, one each, in order.
func (h *Host) Fail(faults ...Fault) { h.set(func() { h.faults = append(h.faults, faults...) }) }

// FailWhile asks f about every request that Fail has no fault for; false means the host's own
// answer. It may be called from several goroutines at once. A nil f ends that, and so ends
// FailUntil and FailRate, of which a host has one at a time.
func (h *Host) FailWhile(f func(Request) (Fault, bool)) {
	h.set(func() { h.settings.failWhile = f })
}

// FailUntil answers with the fault until end, as in an update of IMDS, which takes up to 70 s.
func (h *Host) FailUntil(end time.Time, fault Fault) {
	h.FailWhile(func(r Request) (Fault, bool) { return fault, r.Time.Before(end) })
}

// FailRandomly answers a part of the requests, 0 to 1, with one of the faults, by a random sequence
// that is the same for the same seed. Without faults it is FailWhile(nil).
func (h *Host) FailRandomly(rate float64, seed uint64, faults ...Fault) {
	if len(faults) == 0 {
		h.FailWhile(nil)
		return
	}
	var mu sync.Mutex // guards random
	random := rand.New(rand.NewPCG(seed, seed))
	h.FailWhile(func(Request) (Fault, bool) {
		mu.Lock()
		defer mu.Unlock()
		return faults[random.IntN(len(faults))], random.Float64() < rate
	})
}

// Updating is IMDS while it is updated: 410.
func Updating() Fault { return Fault{Status: http.StatusGone} }

// Throttled is a host with too many requests: 429, with a Retry-After of whole seconds, rounded
// up. Whether IMDS sends one is not known; zero leaves it out.
func Throttled(retryAfter time.Duration) Fault {
	f := jsonFault(http.StatusTooManyRequests, "too_many_requests", "Too many requests")
	if retryAfter > 0 {
		f.Header.Set("Retry-After", strconv.FormatInt(int64((retryAfter+time.Second-1)/time.Second), 10))
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

// Denied is a request that the Metadata Security Protocol's agent on the VM doesn't let through to
// IMDS, because the access control profile doesn't allow this program: 403, without a body.
func Denied() Fault {
	return Fault{Status: http.StatusForbidden, Header: http.Header{"Connection": {"close"}}}
}

// InvalidResource is the answer for a resource that the tenant does not know: 400.
func InvalidResource() Fault {
	return jsonFault(http.StatusBadRequest, "invalid_resource", "AADSTS50001: The resource principal was not found in the tenant.")
}

// Portal is a captive portal's page in the place of the host: 200.
func Portal() Fault {
	return Fault{Status: http.StatusOK, Body: "<html><body>Please sign in</body></html>",
		Header: http.Header{"Content-Type": {"text/html"}}}
}

const jsonType = "application/json; charset=utf-8"

// jsonFault is an answer in the form of IMDS's and the Arc agent's errors.
func jsonFault(status int, code, description string) Fault {
	return Fault{Status: status, Header: http.Header{"Content-Type": {jsonType}},
		Body: string(encode(map[string]any{"error": code, "error_description": description}))}
}

func jsonReply(status int, code, description string) reply {
	return jsonFault(status, code, description).reply()
}
