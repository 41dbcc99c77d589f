// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// TestDoctorOverLoopback uses sockets and the facts of this machine, as the program does.
func TestDoctorOverLoopback(t *testing.T) {
	noHost(t)
	arc := azhosttest.NewArc(t)
	args := []string{"doctor", "-v", "--source", "AzureArc", "--endpoint", arc.Endpoint(), "--arc-key-directory", arc.KeyDirectory()}
	real := func(p *process) { p.facts = readFacts }
	got := do(t.Context(), nil, real, args...)
	require.Equal(t, exitOK, got.code, got.stdout)
	require.Regexp(t, `(?m)^  endpoint +http://127.0.0.1:.+ \(status 400\)$`, got.stdout)
	arc.RequireRequests(t, 3)

	arc.Stop()
	// Another resource, because credentials of one process share their tokens.
	got = do(t.Context(), nil, real, append(args, "vault")...)
	require.Equal(t, exitDown, got.code, got.stdout)
	require.Regexp(t, `(?m)^  endpoint .+: no response after `, got.stdout)
}

// TestDoctorProxyVariables runs a process, because Go reads the proxy variables once.
func TestDoctorProxyVariables(t *testing.T) {
	noHost(t)
	for name, test := range map[string]struct {
		env  []string
		want string
	}{
		"proxy":            {[]string{"HTTP_PROXY=http://me:canary@127.0.0.1:1/"}, "send other Go programs' requests for host.example:1 to http://127.0.0.1:1; azhost"},
		"exempt":           {[]string{"HTTP_PROXY=http://127.0.0.1:1/", "NO_PROXY=a, .example ,b"}, "don't apply"},
		"https alone":      {[]string{"HTTPS_PROXY=http://127.0.0.1:1/"}, "don't apply"},
		"in a CGI program": {[]string{"HTTP_PROXY=http://127.0.0.1:1/", "REQUEST_METHOD=GET"}, "other Go programs' requests for host.example:1 fail here"},
	} {
		t.Run(name, func(t *testing.T) {
			// The timeout is too short to send anything.
			cmd := azhostCommand(t.Context(), "doctor", "--json", "--timeout", "1ns", "--source", "IMDS", "--endpoint", "http://host.example:1/")
			cmd.Env = append(slices.DeleteFunc(cmd.Env, func(v string) bool {
				return strings.Contains(strings.ToUpper(strings.SplitN(v, "=", 2)[0]), "_PROXY")
			}), test.env...)
			out, _ := cmd.Output() // the endpoint's failure doesn't matter
			require.NotContains(t, string(out), "canary")
			r := examined(t, result{stdout: string(out)})
			require.NotNil(t, r.find("proxy"))
			require.Contains(t, r.find("proxy").Detail, test.want)
		})
	}
}

func TestDoctorFollowsNoRedirect(t *testing.T) {
	noHost(t)
	vm := azhosttest.NewVM(t)
	vm.FailUntil(time.Now().Add(time.Hour), azhosttest.Fault{Status: 302, Header: http.Header{"Location": {"http://portal.example/login"}}})
	got := do(t.Context(), wire(vm.Do), nil, "doctor")
	require.Equal(t, exitUnavailable, got.code)
	require.Contains(t, got.stdout, "(status 302)")
	vm.RequireRequests(t, 2) // the probe and the request for a token
}

// TestDoctorTimeLimits checks that a host that doesn't respond takes half of the time for the token, and a
// quarter for the probe. The other quarter is for the Arc agent.
func TestDoctorTimeLimits(t *testing.T) {
	noHost(t)
	for name, slow := range map[string]func(*azhosttest.VM){
		"nothing connects": func(vm *azhosttest.VM) { vm.Silence(true) },
		"nothing responds": func(vm *azhosttest.VM) { vm.SetLatency(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				slow(vm)
				start := time.Now()
				got := do(t.Context(), wire(vm.Do), nil, "doctor", "-v")
				require.Equal(t, exitFailed, got.code)
				require.Equal(t, 15*time.Second, time.Since(start))
				require.Contains(t, got.stdout, "IMDS didn't respond in time.")
				require.Contains(t, got.stdout, "no response after 5s")
				require.Contains(t, got.stdout, "the request was accepted, but there was no response in time")

				start = time.Now()
				do(t.Context(), wire(vm.Do), nil, "doctor", "--timeout", "4s")
				require.Equal(t, 3*time.Second, time.Since(start))
			})
		})
	}
}

// TestDoctorDoesNotRetry checks that the doctor sends each request once, because it reports the current
// state.
func TestDoctorDoesNotRetry(t *testing.T) {
	noHost(t)
	for name, fault := range map[string]azhosttest.Fault{
		"updating": azhosttest.Updating(), "throttled": azhosttest.Throttled(30 * time.Second), "unavailable": {Status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				vm.FailUntil(time.Now().Add(time.Hour), fault)
				start := time.Now()
				known := func(p *process) { p.facts = func() facts { f := laptop(); f.azureVM = true; return f } }
				got := do(t.Context(), wire(vm.Do), known, "doctor")
				require.Equal(t, exitFailed, got.code, got.stdout)
				require.Zero(t, time.Since(start))
				vm.RequireRequests(t, 2) // the request for a token, and the probe
				require.Contains(t, got.stdout, strconv.Itoa(fault.Status))
			})
		})
	}
}

func TestInterruptedDoctor(t *testing.T) {
	noHost(t)
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.SetLatency(time.Hour)
		ctx, stop := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { stop(interrupted{os.Interrupt}) })
		got := do(ctx, wire(vm.Do), nil, "doctor")
		require.Equal(t, result{exitInterrupted, "", "azhost doctor: interrupted\n"}, got)
		settle()
	})
}
