// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
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
			args := []string{"fake", test.kind, "--user-assigned", "reports", "--lifetime", "10m"}
			var o azhost.ManagedIdentityCredentialOptions
			if test.selects {
				o.ID = azhost.ClientID(azhosttest.UserAssigned("reports").ClientID)
			}
			if test.kind == "arc" {
				args = append(args, "--key-directory", keys)
				o.ArcKeyDirectory = keys
			}
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			out, in := io.Pipe()
			defer out.Close() // a fake that this test gave up on must not wait for its reader
			ended := make(chan int, 1)
			go func() {
				code := run(ctx, args, process{stdout: in, stderr: io.Discard})
				in.Close()
				ended <- code
			}()
			var printed strings.Builder
			lines := bufio.NewScanner(out)
			for lines.Scan() {
				printed.WriteString(lines.Text() + "\n")
				if strings.HasPrefix(lines.Text(), "# The requests") {
					break
				}
			}
			if endpoint := regexp.MustCompile(`Endpoint: "(http://127\.0\.0\.1:\d+/\S+)"`).FindStringSubmatch(printed.String()); endpoint != nil {
				o.Source, o.Endpoint = test.source, endpoint[1]
			}
			for _, name := range hostVariables() {
				t.Setenv(name, "")
			}
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
			interrupt()
			for lines.Scan() {
				printed.WriteString(lines.Text() + "\n")
			}
			require.Equal(t, exitOK, <-ended)
			require.NotContains(t, printed.String(), "eyJ")
			requireGolden(t, "fake-"+test.kind, printed.String(), keys)
		})
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
