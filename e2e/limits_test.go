// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package e2e_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limits are what IMDS documents for all programs of a VM together. With the latency, the limit of
// concurrent requests matters.
var limits = []string{"-per-second", "20", "-at-once", "5", "-latency", "20ms"}

func TestConcurrentCallersStayWithinLimits(t *testing.T) {
	t.Parallel()
	const goroutines, resources = 1000, 20
	m := newMachine(t)
	h := m.vm(limits...)
	p := m.program(nil, "-goroutines", fmt.Sprint(goroutines))
	names := make([]string, resources)
	for i := range names {
		names[i] = fmt.Sprintf("https://r%d.example", i)
	}
	tokens := map[string]string{} // of a resource
	for _, call := range p.ask(goroutines, names...) {
		token := p.requireToken(call)
		if known, ok := tokens[call.Resource]; ok {
			require.Equal(t, known, token, "two tokens for %s", call.Resource)
		}
		tokens[call.Resource] = token
	}
	require.Len(t, tokens, resources)
	statuses := h.statuses("vm")
	require.Len(t, statuses, resources)
	require.NotContains(t, statuses, 429)
}

func TestFiftyProcessesShareTheLimits(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	h := m.vm(limits...)
	programs := make([]*program, 50)
	for i := range programs {
		programs[i] = m.program(nil)
	}
	for _, p := range programs { // all have started, and wait for this
		p.write(vault)
	}
	var longest time.Duration
	for _, p := range programs {
		call := p.outcomes(1)[0]
		p.requireToken(call)
		longest = max(longest, call.Took)
	}
	answers := map[int]int{}
	for _, status := range h.statuses("vm") {
		answers[status]++
	}
	require.Equal(t, 50, answers[200])
	require.NotZero(t, answers[429], "no request was throttled")
	t.Logf("responses by status: %v; the last token came after %s", answers, longest)
}
