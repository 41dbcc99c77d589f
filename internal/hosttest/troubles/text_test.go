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

// TestVaryingTextIsRemoved checks that errors omit what hosts and proxies write differently each time, and
// quote the rest.
func TestVaryingTextIsRemoved(t *testing.T) {
	const (
		own     = `{"error":"x","error_description":"%s"}`
		foreign = "<p>%s</p>"
	)
	for name, test := range map[string]struct{ form, body, want string }{
		"Squid":                   {foreign, "Generated {http} by proxy (squid/5.7)", "Generated … by proxy (squid/5.7)"},
		"a proxy in Go":           {foreign, "read tcp 172.17.0.2:{port}->169.254.169.254:80: i/o timeout", "read tcp 169.254.169.254:80: i/o timeout"},
		"a source address":        {foreign, "client 10.0.0.1:{port} and [::1]:{port}, server 10.0.0.2:8080", "client 10.0.0.1:… and [::1]:…, server 10.0.0.2:8080"},
		"a firewall":              {foreign, "Your support ID is: {n}. Go back", "Your support ID is: …. Go back"},
		"a content network":       {foreign, "Ray ID: <strong>7f{hex}</strong> down", "Ray ID: <strong>…</strong> down"},
		"another":                 {foreign, "Reference #18.{hex}.{n}.{hex}", "Reference #18.….….…"},
		"a cache":                 {foreign, "Guru Meditation: XID: {n} Varnish", "XID: … Varnish"},
		"an edge":                 {foreign, "Azure Ref: 0{base32}", "Azure Ref: …"},
		"a GUID":                  {foreign, "[{guid}] forbidden", "[…] forbidden"},
		"a trace":                 {foreign, "traceparent: 00-{hex}{hex}-{hex}-01", "traceparent: 00-…-…-01"},
		"seconds since 1970":      {"%s", `{"ts":{n},"detail":"No"}`, `{"ts":…,"detail":"No"}`},
		"members of JSON":         {"%s", `{"requestId":"a-{n}","x-request-id":"b-{n}","timestamp":{n},"detail":"No"}`, `{"requestId":"…","x-request-id":"…","timestamp":"…","detail":"No"}`},
		"ISO 8601":                {foreign, "failed at {iso} upstream", "failed at … upstream"},
		"slashes":                 {foreign, "at {slash}, on {day}, on {slashday}", "at …, on …, on …"},
		"C":                       {foreign, "at {ansic} and {unixdate}.", "at … and …."},
		"RFC 850":                 {foreign, "at {rfc850}.", "at …."},
		"an American date":        {foreign, "at {us}.", "at …."},
		"a log's date":            {foreign, "[{clf}] down", "[…] down"},
		"without separators":      {foreign, "at {compact}.", "at …."},
		"a clock":                 {foreign, "at {clock}.", "at …."},
		"a duration of Go":        {foreign, "took {ms}.{n}ms or 1m{ms}s", "took … or …"},
		"a duration":              {foreign, "after {ms} seconds or {ms} ms", "after … or …"},
		"a host's time":           {own, "failed at {iso} upstream", "failed at … upstream"},
		"a host's date":           {own, "failed at {us}, {http}", "failed at …, …"},
		"a host's pause":          {own, "Retry after {ms} seconds, or try again in {ms} ms", "Retry after … seconds, or try again in … ms"},
		"a host's session":        {own, "Session ID: {guid} ended", "Session ID: … ended"},
		"a host's message":        {own, "Message-Id '{guid}' ended", "Message-Id '…' ended"},
		"in parentheses":          {own, "oops (correlation id {guid})", "oops (correlation id …)"},
		"a host's request":        {own, "request {guid} failed", "request … failed"},
		"a host's header":         {own, "no; x-ms-client-request-id: {guid}", "403 Forbidden: x: no"},
		"an ID with a hyphen":     {"%s", "denied, Request-ID: {n}-a", "403 Forbidden: denied"},
		"an ID with an equals":    {"%s", "denied request_id={n}", "403 Forbidden: denied"},
		"an activity":             {"%s", "denied. ActivityId: {guid}", "403 Forbidden: denied"},
		"a number of the failure": {foreign, "AADSTS700016: HTTP/1.1 403, status 1234", "AADSTS700016: HTTP/1.1 403, status 1234"},
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			cred := onVM(t, always(func(req *http.Request) (*http.Response, error) {
				n := time.Now().UnixNano()
				now := time.Now().UTC()
				fill := strings.NewReplacer("{n}", fmt.Sprint(n), "{hex}", fmt.Sprintf("%016x", n), "{guid}", fmt.Sprintf("11111111-0000-4000-8000-%012x", n%(1<<48)),
					"{base32}", "ABCDEFGHIJ"+fmt.Sprint(n), "{port}", fmt.Sprint(40000+n/1e6%9000), "{ms}", fmt.Sprint(n/1e6%997),
					"{http}", now.Format(http.TimeFormat), "{iso}", now.Format(time.RFC3339Nano), "{slash}", now.Format("2006/01/02 15:04:05"),
					"{day}", now.Format(time.DateOnly), "{slashday}", now.Format("2006/01/02"), "{ansic}", now.Format(time.ANSIC), "{unixdate}", now.Format(time.UnixDate),
					"{rfc850}", now.Format(time.RFC850), "{us}", now.Format("1/2/2006 3:04:05 PM"), "{clf}", now.Format("02/Jan/2006:15:04:05 -0700"),
					"{compact}", now.Format("20060102T150405Z"), "{clock}", now.Format(time.TimeOnly))
				return answer(403, fill.Replace(fmt.Sprintf(test.form, test.body)))(req)
			}), known)
			var texts []string
			for range 3 {
				_, err := token(t.Context(), cred)
				require.ErrorContains(t, err, test.want)
				texts = append(texts, err.Error())
				time.Sleep(1317*time.Hour + time.Minute + time.Second + 234567891)
			}
			require.Equal(t, texts[0], texts[1])
			require.Equal(t, texts[0], texts[2])
		})
	}
}

// TestTextNamesTheIdentity checks that errors keep IDs that are the same each time, such as that of the
// identity.
func TestTextNamesTheIdentity(t *testing.T) {
	const id = "0f8fad5b-d9cb-469f-a165-70867728950e"
	for _, text := range []string{
		"Identity not found: " + id, "No identity with ID " + id, "client id '" + id + "' is unknown", "clientId: " + id, "Object ID " + id, "principal_id=" + id,
		"Application with identifier '" + id + "' was not found in the directory '" + id + "'", "tenant " + id + " has no resource ID " + id,
		"subscription 0123456789abcdef0123456789 of 2018-02-01 with 123456789",
	} {
		inBubble(t, text, nil, func(t *testing.T) {
			for _, body := range []string{`{"error":"x","error_description":"%s"}`, `{"statusCode":400,"message":"%s"}`, `{"error":{"code":"x","message":"%s"}}`} {
				_, err := token(t.Context(), onVM(t, always(answer(403, fmt.Sprintf(body, text))), known))
				require.ErrorContains(t, err, text)
			}
		})
	}
}

// TestTextInAnotherEncoding checks that text in another encoding is quoted if most of it is readable.
func TestTextInAnotherEncoding(t *testing.T) {
	for name, test := range map[string]struct{ body, want string }{
		"Latin-1":     {"acc\xe8s refus\xe9", "403 Forbidden: acc\ufffds refus\ufffd"},
		"UTF-16LE":    {"\xff\xfed\x00e\x00n\x00i\x00e\x00d\x00", "403 Forbidden: denied"},
		"UTF-16BE":    {"\xfe\xff\x00d\x00e\x00n\x00i\x00e\x00d", "403 Forbidden: denied"},
		"UTF-8":       {"\ufeffaccès refusé", "403 Forbidden: accès refusé"},
		"no encoding": {"\x1f\x8b\x08\xf1\xb2\xc9\xe0\x91ab\xff\xd8", ""},
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			_, err := token(t.Context(), onVM(t, always(answer(403, test.body)), known))
			require.ErrorContains(t, err, test.want)
			require.Equal(t, test.want == "", !strings.Contains(err.Error(), "403 Forbidden: "))
		})
	}
}

// TestErrorsOmitToken checks that no error contains a token, whatever the response's form and status.
func TestErrorsOmitToken(t *testing.T) {
	const token1 = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJjYW5hcnkifQ.c2ln"
	for name, body := range map[string]string{
		"a form":                   "access_token=" + token1 + "&token_type=Bearer",
		"an opaque token":          "access_token=canary",
		"single quotes":            "{'access_token': 'canary'}",
		"JSON in a string":         `"{\"access_token\":\"canary\"}"`,
		"XML":                      "<access_token>" + token1 + "</access_token>",
		"in a description":         `{"error":"x","error_description":"unexpected ` + token1 + `."}`,
		"opaque, in a description": `{"error":"x","error_description":"unexpected access_token=canary."}`,
		"in text":                  "unexpected header Bearer " + token1,
		"in another shape":         `{"accessToken":"canary"}`,
		"UTF-16":                   "\xff\xfe" + strings.Join(strings.Split(`{"access_token":"canary"}`, ""), "\x00"),
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

// TestTransportReturnsAnotherRequest checks that azhost removes the secret that it sent, even if the
// response has another request.
func TestTransportReturnsAnotherRequest(t *testing.T) {
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

// TestMissingProxySocket checks that a Unix socket that doesn't exist isn't taken for a missing key, after
// which azhost would request another challenge at once.
func TestMissingProxySocket(t *testing.T) {
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
