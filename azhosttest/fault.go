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

// Fault is a response that replaces the host's normal one, and is sent as is. The zero value is the
// host's normal response. Functions such as [Throttled] return faults with JSON bodies in the form of
// IMDS and Arc.
type Fault struct {
	Status int           // 200 to 599; 0 means 200 if Body is set, otherwise the host's normal response
	Header http.Header   // such as Retry-After
	Body   string        // of any content type
	Delay  time.Duration // before the response
	Drop   bool          // close the connection without a response
	Cut    bool          // close the connection in the middle of the body
}

// own reports whether the host sends its normal response, perhaps late or truncated.
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
			header.Add(name, v) // in canonical form, as over a socket
		}
	}
	return reply{status: f.Status, header: header, body: []byte(f.Body), cut: f.Cut}
}

// Fail responds to the next requests with faults, one each, in order.
func (h *Host) Fail(faults ...Fault) { h.set(func() { h.faults = append(h.faults, faults...) }) }

// FailWhile calls f for every request that Fail has no fault for, and responds with the fault if f returns
// true. Calls may be concurrent. FailWhile, FailUntil, and FailRandomly replace each other; FailWhile(nil)
// ends them.
func (h *Host) FailWhile(f func(Request) (Fault, bool)) {
	h.set(func() { h.settings.failWhile = f })
}

// FailUntil responds with the fault until end, as during an update of IMDS, which takes up to 70
// seconds.
func (h *Host) FailUntil(end time.Time, fault Fault) {
	h.FailWhile(func(r Request) (Fault, bool) { return fault, r.Time.Before(end) })
}

// FailRandomly responds to a share of the requests, from 0 to 1, with one of the faults at random. The
// same seed gives the same sequence. Without faults, it is FailWhile(nil).
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

// Updating returns IMDS's response during an update: 410.
func Updating() Fault {
	return Fault{Status: http.StatusGone, Header: http.Header{"Server": {imdsServer}}}
}

// Throttled returns a host's response to too many requests: 429, with Retry-After in whole seconds,
// rounded up. Zero omits the header; whether IMDS sends it isn't known.
func Throttled(retryAfter time.Duration) Fault {
	f := jsonFault(http.StatusTooManyRequests, "too_many_requests", "Too many requests")
	if retryAfter > 0 {
		f.Header.Set("Retry-After", strconv.FormatInt(int64((retryAfter+time.Second-1)/time.Second), 10))
	}
	return f
}

// ServerError returns a host's response when it can't get a token from Microsoft Entra ID: 500.
func ServerError() Fault {
	return jsonFault(http.StatusInternalServerError, "unknown", "Failed to retrieve token from the Active directory")
}

// WireServer returns the response of the Azure host while IMDS restarts: 500, without any sign of
// IMDS.
func WireServer() Fault {
	return Fault{Status: http.StatusInternalServerError, Body: "Internal Server Error",
		Header: http.Header{"Server": {"Microsoft-IIS/10.0"}, "Content-Type": {"text/plain"}}}
}

// Denied returns the response of the Metadata Security Protocol's agent on a VM when the access
// control profile doesn't allow the program to use IMDS: 403, without a body.
func Denied() Fault {
	return Fault{Status: http.StatusForbidden, Header: http.Header{"Connection": {"close"}}}
}

// InvalidResource returns the response for a resource that doesn't exist in the tenant: 400.
func InvalidResource() Fault {
	return jsonFault(http.StatusBadRequest, "invalid_resource", "AADSTS50001: The resource principal was not found in the tenant.")
}

// Portal returns the page of a captive portal that responds instead of the host: 200.
func Portal() Fault {
	return Fault{Status: http.StatusOK, Body: "<html><body>Please sign in</body></html>",
		Header: http.Header{"Content-Type": {"text/html"}}}
}

const jsonType = "application/json; charset=utf-8"

// jsonFault returns a response in the form of IMDS's and the Arc agent's errors.
func jsonFault(status int, code, description string) Fault {
	return Fault{Status: status, Header: http.Header{"Content-Type": {jsonType}},
		Body: string(encode(map[string]any{"error": code, "error_description": description}))}
}

func jsonReply(status int, code, description string) reply {
	return jsonFault(status, code, description).reply()
}
