// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/internal/detect"
	"github.com/stretchr/testify/require"
)

func TestFake(t *testing.T) {
	for _, test := range []struct {
		kind     string
		source   azhost.Source
		requests int // for one token
		selects  bool
	}{
		{"vm", azhost.SourceIMDS, 1, true},
		{"arc", azhost.SourceAzureArc, 2, true},
		{"appservice", azhost.SourceAppService, 1, true},
		{"servicefabric", azhost.SourceServiceFabric, 1, false},
		{"cloudshell", azhost.SourceCloudShell, 1, false},
		{"azureml", azhost.SourceAzureML, 1, true},
	} {
		t.Run(test.kind, func(t *testing.T) {
			keys := t.TempDir()
			args := []string{"fake", test.kind, "--user-assigned", "reports", "--lifetime", "10m", "--shell", "sh"}
			var o azhost.ManagedIdentityCredentialOptions
			if test.selects {
				o.ID = azhost.ClientID(azhosttest.UserAssigned("reports").ClientID)
			}
			if test.kind == "arc" {
				args = append(args, "--key-directory", keys)
				o.ArcKeyDirectory = keys
			}
			ctx, stop := context.WithCancelCause(t.Context())
			defer stop(nil)
			out, in := io.Pipe()
			defer out.Close() // so that the fake doesn't block on its output if the test fails
			ended := make(chan int, 1)
			go func() {
				code := run(ctx, args, process{out: console{Writer: in}, err: console{Writer: io.Discard}})
				in.Close()
				ended <- code
			}()
			var printed strings.Builder
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				printed.WriteString(lines.Text() + "\n")
				if strings.HasSuffix(lines.Text(), "Requests:") {
					break
				}
			}
			if endpoint := regexp.MustCompile(`Endpoint: "(http://127\.0\.0\.1:\d+/\S+)"`).FindStringSubmatch(printed.String()); endpoint != nil {
				o.Source, o.Endpoint = test.source, endpoint[1]
			}
			noHost(t)
			for _, export := range regexp.MustCompile(`(?m)^export (\w+)='(.+)'$`).FindAllStringSubmatch(printed.String(), -1) {
				t.Setenv(export[1], export[2])
			}

			type result struct {
				life string
				err  error
			}
			asked := make(chan result, 1)
			go func() {
				cred, err := azhost.NewManagedIdentityCredential(&o)
				if err == nil && cred.Source() != test.source {
					err = errors.New("found " + string(cred.Source()))
				}
				if err != nil {
					asked <- result{err: err}
					return
				}
				token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{vault}})
				if err != nil {
					asked <- result{err: err}
					return
				}
				c, _ := readClaims(token.Token)
				issued, _ := c.time("iat")
				expires, _ := c.time("exp")
				asked <- result{life: expires.Sub(issued).String()}
			}()
			for range test.requests {
				require.True(t, lines.Scan())
				printed.WriteString(lines.Text() + "\n")
			}
			got := <-asked
			require.NoError(t, got.err)
			require.Equal(t, "10m0s", got.life)
			stop(interrupted{os.Interrupt})
			for lines.Scan() {
				printed.WriteString(lines.Text() + "\n")
			}
			require.Equal(t, exitInterrupted, <-ended)
			require.NotContains(t, printed.String(), "eyJ")
			requireGolden(t, "fake-"+test.kind, normalized(printed.String(), keys))
		})
	}
}

// TestFakeRunsACommand runs azhost itself as the command, which finds the fake by its variables.
func TestFakeRunsACommand(t *testing.T) {
	noHost(t)
	t.Setenv("MSI_ENDPOINT", "http://127.0.0.1:1/left/over")
	run := func(args ...string) (stdout, stderr string, code int) {
		cmd := azhostCommand(t.Context(), append(args, "--", os.Args[0], "token", "vault", "-o", "json")...)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		if _, exited := errors.AsType[*exec.ExitError](err); !exited {
			require.NoError(t, err)
		}
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}
	for kind, want := range map[string]string{
		"appservice": "AppService", "servicefabric": "ServiceFabric", "cloudshell": "CloudShell", "azureml": "AzureML",
	} {
		stdout, stderr, code := run("fake", kind)
		require.Equal(t, exitOK, code, stderr)
		var token map[string]string
		require.NoError(t, json.Unmarshal([]byte(stdout), &token))
		require.Equal(t, want, token["source"])
		require.Equal(t, "azhost fake: 1 request: 1 × 200\n", stderr)
	}
	_, stderr, code := run("fake", "appservice", "-v", "--fault", "403")
	require.Equal(t, exitFailed, code, "the command's status")
	require.Regexp(t, `(?m)^\d\d:\d\d:\d\d  403  GET  https://vault.azure.net$`, stderr)
	require.Regexp(t, `\nazhost fake: 1 request: 1 × 403\n$`, stderr)
}

func TestFaults(t *testing.T) {
	var f faults
	for _, text := range []string{"410:70s", "429:2", "drop", "503:1"} {
		require.NoError(t, f.Set(text))
	}
	now := time.Now()
	at := func(d time.Duration) int {
		fault, ok := f.next(azhosttest.Request{Time: now.Add(d)})
		switch {
		case !ok:
			return http.StatusOK
		case fault.Drop:
			return 0
		}
		return fault.Status
	}
	var got []int
	for _, d := range []time.Duration{0, time.Second, 70*time.Second - 1, 70 * time.Second, 71 * time.Second, 72 * time.Second, 73 * time.Second, 74 * time.Second} {
		got = append(got, at(d))
	}
	require.Equal(t, []int{410, 410, 410, 429, 429, 0, 503, 200}, got)

	require.NoError(t, f.Set("500:30%"))
	failed := 0
	for range 10_000 {
		if at(time.Hour) == 500 {
			failed++
		}
	}
	require.InDelta(t, 3000, failed, 300) // more than six standard deviations
	for _, name := range faultNames() {
		require.NoError(t, new(faults).Set(name), name)
	}
	for _, text := range []string{"", "200", "600", "x", "429:0", "429:-1", "429:0s", "429:0%", "429:NaN%", "429:"} {
		require.Error(t, new(faults).Set(text), text)
	}
}

// TestFakeShapes checks that latency, throttling, and lifetime reach the host.
func TestFakeShapes(t *testing.T) {
	var r fakeRun
	flags := flag.NewFlagSet("fake", flag.ContinueOnError)
	r.flags(flags)
	_, err := parse(flags, []string{"--latency", "2s", "--throttle", "20,5", "--lifetime", "5m"})
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		r.shape(vm)
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		start := time.Now()
		token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{vault}})
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, 5*time.Minute, time.Until(token.ExpiresOn).Round(10*time.Second))
		statuses := map[int]int{}
		var mu sync.Mutex
		var asked sync.WaitGroup
		for range 8 {
			asked.Go(func() {
				req, _ := http.NewRequest(http.MethodGet, detect.IMDSTokenEndpoint, nil)
				resp, err := vm.Do(req)
				if err != nil {
					return
				}
				mu.Lock()
				statuses[resp.StatusCode]++
				mu.Unlock()
			})
		}
		asked.Wait()
		require.Equal(t, map[int]int{400: 5, 429: 3}, statuses)
	})
}

func TestIntroductions(t *testing.T) {
	host := azhosttest.NewArc(t)
	for _, name := range fakeShells() {
		text := fakeKinds()[1].introduction(host, []azhosttest.Identity{azhosttest.SystemAssigned()}, name)
		requireGolden(t, "fake-arc-"+name, normalized(text, host.KeyDirectory()))
	}
}

func TestLoopback(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:0": true, "localhost:80": true, "[::1]:0": true, "127.9.9.9:1": true,
		":0": false, "0.0.0.0:0": false, "[::]:1": false, "10.0.0.4:80": false, "example.com:80": false, "x": false,
	} {
		require.Equal(t, want, loopback(addr), addr)
	}
}
