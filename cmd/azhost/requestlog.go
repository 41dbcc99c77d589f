// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/azhost/azhost/azhosttest"
)

// requestLog writes a line for each request, and counts them.
type requestLog struct {
	out     console
	verbose bool

	mu       sync.Mutex // guards the fields below and the order of lines
	requests int
	statuses map[int]int
}

func newRequestLog(out console, verbose bool) *requestLog {
	return &requestLog{out: out, verbose: verbose, statuses: map[int]int{}}
}

func (l *requestLog) add(r azhosttest.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	l.statuses[r.Status]++
	if !l.verbose {
		return
	}
	line := fmt.Sprintf("%s  %s  %.10s  %.200s  %.200s", r.Time.Format(time.TimeOnly), statusText(r.Status), r.Method, r.Resource, r.Selector)
	fmt.Fprintln(l.out, strings.TrimRight(printable(line), " "))
}

// summarize writes a line about all requests.
func (l *requestLog) summarize(prefix string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := "no requests"
	if l.requests > 0 {
		text = fmt.Sprintf("%d requests", l.requests)
		if l.requests == 1 {
			text = "1 request"
		}
		var parts []string
		for status := range l.statuses {
			parts = append(parts, fmt.Sprintf("%d × %s", l.statuses[status], statusText(status)))
		}
		slices.SortFunc(parts, func(a, b string) int {
			return strings.Compare(a[strings.LastIndexByte(a, ' '):], b[strings.LastIndexByte(b, ' '):])
		})
		text += ": " + strings.Join(parts, ", ")
	}
	fmt.Fprintln(l.out, prefix+text)
}

func statusText(status int) string {
	if status == 0 {
		return "dropped"
	}
	return strconv.Itoa(status)
}
