// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// TestTextOfAProxyIsTheSame: what proxies write into their pages is different each time. The rest is quoted.
func TestTextOfAProxyIsTheSame(t *testing.T) {
	for name, test := range map[string]struct {
		body string // n is a number of six digits that is different each time
		want string
	}{
		"Squid":                {"<html><h1>ERROR</h1><p>Generated {http} by proxy (squid/5.7)</p>", "Generated … by proxy (squid/5.7)"},
		"a proxy in Go":        {"bad gateway: read tcp 172.17.0.2:5{n}->169.254.169.254:80: i/o timeout", "read tcp 169.254.169.254:80: i/o timeout"},
		"a firewall":           {"The request was rejected. Your support ID is: 93{n}. Go back", "Your support ID is: …. Go back"},
		"a content network":    {"Error 502 <p>Ray ID: <strong>7f{n}abc</strong> down", "<strong>…</strong> down"},
		"a time of ISO 8601":   {"failed at {iso} upstream", "failed at … upstream"},
		"a time in JSON":       {`{"error":"x","error_description":"failed at {iso} upstream"}`, "failed at … upstream"},
		"a time without zone":  {"{plain} upstream failed", "… upstream failed"},
		"an ID with a hyphen":  {"denied, Request-ID: {n}-a", "403 Forbidden: denied"},
		"an ID with an equals": {"denied request_id={n}", "403 Forbidden: denied"},
		"an activity":          {"denied. ActivityId: 11111111-0000-0000-0000-000000{n}", "403 Forbidden: denied"},
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			n := 123456
			cred := onVM(t, always(func(req *http.Request) (*http.Response, error) {
				n += 98765
				now := time.Now().UTC()
				return answer(403, strings.NewReplacer("{n}", fmt.Sprint(n), "{http}", now.Format(http.TimeFormat), "{iso}", now.Format(time.RFC3339Nano), "{plain}", now.Format(time.DateTime)).Replace(test.body))(req)
			}), known)
			var texts []string
			for range 2 {
				_, err := token(t.Context(), cred)
				require.ErrorContains(t, err, test.want)
				texts = append(texts, err.Error())
				time.Sleep(17*time.Hour + time.Minute + time.Second + time.Millisecond)
			}
			require.Equal(t, texts[0], texts[1])
		})
	}
}

// TestTokenIsInNoError, in whatever form something between passes it on, with whatever status.
func TestTokenIsInNoError(t *testing.T) {
	const token1 = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJjYW5hcnkifQ.c2ln"
	for name, body := range map[string]string{
		"a form":                   "access_token=" + token1 + "&token_type=Bearer",
		"an opaque one":            "access_token=canary",
		"single quotes":            "{'access_token': 'canary'}",
		"JSON in a string":         `"{\"access_token\":\"canary\"}"`,
		"XML":                      "<access_token>" + token1 + "</access_token>",
		"in a description":         `{"error":"x","error_description":"unexpected ` + token1 + `."}`,
		"opaque, in a description": `{"error":"x","error_description":"unexpected access_token=canary."}`,
		"in text":                  "unexpected header Bearer " + token1,
		"in another shape":         `{"accessToken":"canary"}`,
		"without a signature":      "unexpected eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJjYW5hcnkifQ",
	} {
		for _, status := range []int{200, 202, 400, 403, 503} {
			inBubble(t, fmt.Sprint(name, " ", status), nil, func(t *testing.T) {
				var log safeBuffer
				cred := onVM(t, always(answer(status, body, "Server: IMDS/1.0")), known, func(o *azhost.ManagedIdentityCredentialOptions) {
					o.ID, o.Retry.MaxRetries = azhost.ClientID("me"), -1
					o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				})
				_, err := token(t.Context(), cred)
				failed := requireFailed(t, err)
				kept, readErr := io.ReadAll(failed.RawResponse.Body)
				require.NoError(t, readErr)
				synctest.Wait()
				for _, written := range []string{err.Error(), string(kept), log.String()} {
					require.NotContains(t, written, "canary")
					require.NotContains(t, written, "eyJ")
				}
			})
		}
	}
}

// TestTransportThatReturnsAnotherRequest: the secret is that of the request that azhost has sent.
func TestTransportThatReturnsAnotherRequest(t *testing.T) {
	inBubble(t, "without the secret", platforms[azhost.SourceAppService], func(t *testing.T) {
		cred := credential(t, nil, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.Transport = transporter(func(req *http.Request) (*http.Response, error) {
				resp, err := answer(403, "you sent "+req.Header.Get("X-Identity-Header"))(req)
				resp.Request = req.Clone(req.Context())
				resp.Request.Header = http.Header{}
				return resp, err
			})
		})
		_, err := token(t.Context(), cred)
		requireFailed(t, err)
		require.ErrorContains(t, err, "you sent [removed]")
	})
}

// TestSocketOfAProxyIsMissing: a Unix socket that doesn't exist is no missing key, for which the agent
// would be challenged again at once.
func TestSocketOfAProxyIsMissing(t *testing.T) {
	inBubble(t, "on Arc", nil, func(t *testing.T) {
		a := azhosttest.NewArc(t)
		requests := 0
		cred := onArc(t, a, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.Retry.MaxRetries = -1
			o.Transport = transporter(func(req *http.Request) (*http.Response, error) {
				requests++
				return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.ENOENT)}
			})
		})
		_, err := token(t.Context(), cred)
		require.Error(t, err)
		require.Equal(t, 1, requests)
	})
}
