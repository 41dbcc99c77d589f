// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/azhost/azhost/azhosttest"
)

// faults are the values of --fault, one after the other.
type faults struct {
	mu  sync.Mutex // guards the fields below once the host serves
	all []*fault
}

// fault is a response of the host, and how often or how long to send it.
type fault struct {
	azhosttest.Fault
	times    int           // for this many requests
	duration time.Duration // for this long from the first request that gets it
	percent  float64       // for this share of the requests, without an end
	end      time.Time
}

const faultForm = "isn't WHAT:N, WHAT:DURATION, or WHAT:PERCENT%, such as 410:70s, throttled:3, or drop:10%"

// faultNames are the faults that have a name. A number is a status.
func faultNames() []string {
	return []string{"updating", "throttled", "server-error", "wireserver", "invalid-resource", "portal", "drop", "cut"}
}

func namedFault(name string) (azhosttest.Fault, error) {
	switch name {
	case "updating", "410":
		return azhosttest.Updating(), nil
	case "throttled", "429":
		return azhosttest.Throttled(time.Second), nil
	case "server-error", "500":
		return azhosttest.ServerError(), nil
	case "wireserver":
		return azhosttest.WireServer(), nil
	case "invalid-resource":
		return azhosttest.InvalidResource(), nil
	case "portal":
		return azhosttest.Portal(), nil
	case "drop":
		return azhosttest.Fault{Drop: true}, nil
	case "cut":
		return azhosttest.Fault{Cut: true}, nil
	}
	status, err := strconv.Atoi(name)
	if err != nil || status < 300 || status > 599 {
		return azhosttest.Fault{}, fmt.Errorf("isn't a status from 300 to 599 or one of %s%s", strings.Join(faultNames(), ", "), didYouMean(name, faultNames()))
	}
	return azhosttest.Fault{Status: status, Header: http.Header{"Content-Type": {"application/json"}},
		Body: fmt.Sprintf(`{"error":"fake","error_description":"azhost fake --fault %d"}`, status)}, nil
}

func (f *faults) String() string { return "" }
func (f *faults) Get() any       { return f.all }

// Set adds a fault.
func (f *faults) Set(text string) error {
	name, extent, limited := strings.Cut(text, ":")
	what, err := namedFault(name)
	if err != nil {
		return err
	}
	next := &fault{Fault: what}
	percent, isPercent := strings.CutSuffix(extent, "%")
	switch {
	case !limited:
		next.times = 1
	case isPercent:
		next.percent, err = strconv.ParseFloat(percent, 64)
		if err != nil || !(next.percent > 0 && next.percent <= 100) {
			return errors.New(faultForm)
		}
	default:
		if next.times, err = strconv.Atoi(extent); err == nil && next.times > 0 {
			break
		}
		if next.duration, err = time.ParseDuration(extent); err != nil || next.duration <= 0 {
			return errors.New(faultForm)
		}
	}
	f.all = append(f.all, next)
	return nil
}

// next returns the fault for a request, if any.
func (f *faults) next(r azhosttest.Request) (azhosttest.Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.all) > 0 {
		x := f.all[0]
		switch {
		case x.percent > 0:
			return x.Fault, 100*rand.Float64() < x.percent
		case x.duration > 0:
			if x.end.IsZero() {
				x.end = r.Time.Add(x.duration)
			}
			if r.Time.Before(x.end) {
				return x.Fault, true
			}
		case x.times > 0:
			x.times--
			return x.Fault, true
		}
		f.all = f.all[1:]
	}
	return azhosttest.Fault{}, false
}
