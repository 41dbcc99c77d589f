// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	azlog "github.com/Azure/azure-sdk-for-go/sdk/azcore/log"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/tracing"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// shortSecrets also occur in ordinary responses. Tests and emulators use such secrets.
var shortSecrets = []string{
	"dummy", "token", "access_token", "error", "expires_on", "error_description", "message", "Bearer", "null", "true", "removed", "[removed]",
	"1", "0", "a", "e", "{", `"`, ":", ",", "}", "\\", "20", "30", "GMT", " ", "Date", "secret",
}

// secretive is a host that gives its programs a secret.
type secretive struct {
	source azhost.Source
	name   string
	env    func(secret string) map[string]string
}

var secretives = []secretive{
	{azhost.SourceAppService, "App Service", func(s string) map[string]string {
		return map[string]string{"IDENTITY_ENDPOINT": "http://localhost:4141/msi", "IDENTITY_HEADER": s}
	}},
	{azhost.SourceAzureML, "Azure ML", func(s string) map[string]string {
		return map[string]string{"MSI_ENDPOINT": "http://localhost:4142/msi", "MSI_SECRET": s}
	}},
	{azhost.SourceAzureArc, "Arc", func(string) map[string]string { return nil }},
}

// open returns a credential for the host, which responds to requests with the secret as w does.
func (h secretive) open(t *testing.T, secret string, w *wire, set ...func(*azhost.ManagedIdentityCredentialOptions)) *azhost.ManagedIdentityCredential {
	if h.source != azhost.SourceAzureArc {
		return credential(t, w, set...)
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "k.key")
	require.NoError(t, os.WriteFile(key, []byte(secret), 0o600))
	return credential(t, always(func(req *http.Request) (*http.Response, error) {
		if req.Header.Get("Authorization") == "" {
			return answer(401, "", "WWW-Authenticate: Basic realm="+key)(req)
		}
		return w.Do(req)
	}), append(set, func(o *azhost.ManagedIdentityCredentialOptions) { o.Source, o.ArcKeyDirectory = h.source, dir })...)
}

// sealed is a secret that occurs in no response.
const sealed = "n0-such-w0rd"

// TestSecretOccursInResponse checks that a secret that occurs in a response doesn't change the outcome,
// because responses are parsed before they are redacted.
func TestSecretOccursInResponse(t *testing.T) {
	type outcome struct {
		Token    string
		Expires  int64
		Kind     string
		Status   int
		Requests int
		Paused   bool // as Retry-After asks
		Remember bool // the pause, for the next call
	}
	for _, h := range secretives {
		outcomes := map[string]int{}
		for seed := range 150 {
			random := rand.New(rand.NewPCG(uint64(seed), 1))
			secret := shortSecrets[random.IntN(len(shortSecrets))]
			if random.IntN(3) == 0 {
				const letters = "abcdefghijklmnopqrstuvwxyz0123456789\":{},._-"
				secret = ""
				for range 1 + random.IntN(3) {
					secret += string(letters[random.IntN(len(letters))])
				}
			}
			if strings.TrimSpace(secret) == "" || h.source == azhost.SourceAzureArc && strings.Contains(secret, " ") {
				secret = "dummy"
			}
			var results []outcome
			for n, secret := range []string{sealed, secret} {
				inBubble(t, fmt.Sprint(h.name, " ", seed, " ", n), h.env(secret), func(t *testing.T) {
					random := rand.New(rand.NewPCG(uint64(seed), 2))
					status, body, headers := randomAnswer(random)
					var times []time.Time
					w := always(func(req *http.Request) (*http.Response, error) {
						times = append(times, time.Now())
						return answer(status, body, headers()...)(req)
					})
					cred := h.open(t, secret, w)
					tk, err := token(t.Context(), cred)
					o := outcome{Token: tk.Token, Kind: fmt.Sprintf("%T", err), Requests: len(times)}
					if err == nil {
						o.Expires = tk.ExpiresOn.Unix()
					}
					if failed, ok := errors.AsType[*azhost.AuthenticationFailedError](err); ok && failed.RawResponse != nil {
						o.Status = failed.RawResponse.StatusCode
					}
					o.Paused = len(times) > 1 && times[1].Sub(times[0]) >= 5*time.Second
					time.Sleep(2 * time.Second)
					before := w.Requests()
					_, _ = token(t.Context(), cred)
					o.Remember = w.Requests() == before
					results = append(results, o)
				})
			}
			require.Equal(t, results[0], results[1], "%s, seed %d, secret %q", h.name, seed, secret)
			outcomes[fmt.Sprint(results[0].Kind, results[0].Status, results[0].Paused)]++
		}
		require.Greater(t, len(outcomes), 8, "the responses are too similar: %v", outcomes)
	}
}

// randomAnswer returns a token, an error, or something else. headers returns the headers of each response.
func randomAnswer(random *rand.Rand) (status int, body string, headers func() []string) {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	status = []int{200, 200, 200, 202, 400, 401, 403, 404, 408, 429, 429, 500, 503, 503}[random.IntN(14)]
	now := time.Now()
	value := pick("dummy", "token", "error", "1", "eyJ0.eyJ1.sig", "secret", "access_token", "", "a b")
	switch random.IntN(5) {
	case 0, 1:
		body = fmt.Sprintf(`{"access_token":%q,"expires_on":%s,"expires_in":%s,"token_type":%q,"resource":"https://vault.azure.net"}`, value,
			pick(`"`+fmt.Sprint(now.Add(time.Hour).Unix())+`"`, fmt.Sprint(now.Add(20*time.Minute).Unix()), `"1/1/2000 11:30:20 PM +00:00"`, `"0"`, `"token"`),
			pick("3600", `"86399"`, `"1"`, "-1", "null"), pick("Bearer", "bearer", "", "pop"))
	case 2:
		body = fmt.Sprintf(`{"error":%q,"error_description":%q}`, pick("invalid_request", "error", "dummy", "invalid_resource"), pick("Identity not found", "a dummy token", "1", "AADSTS700016: x"))
	case 3:
		body = fmt.Sprintf(`{"error":{"code":%q,"message":%q,"correlationId":"1"}}`, pick("InternalServerError", "dummy", "1"), value)
	case 4:
		body = pick("", "dummy", "token", "<html>error</html>", "[]", "{", `"token"`)
	}
	date := pick("", "now", "ahead", "dummy")
	pause := pick("", "", "5", "15", "20", "date", "token", "100") // five of them are less than three minutes
	return status, body, func() []string {
		own := []string{"Server: dummy", "Content-Type: application/json; charset=utf-8"}
		switch date {
		case "now":
			own = append(own, "Date: "+time.Now().UTC().Format(http.TimeFormat))
		case "ahead":
			own = append(own, "Date: "+time.Now().UTC().Add(30*time.Minute).Format(http.TimeFormat))
		case "dummy":
			own = append(own, "Date: dummy")
		}
		switch pause {
		case "":
		case "date":
			own = append(own, "Retry-After: "+time.Now().UTC().Add(20*time.Second).Format(http.TimeFormat))
		default:
			own = append(own, "Retry-After: "+pause)
		}
		return own
	}
}

// TestSecretEqualsAge checks that a secret that occurs in the Age header doesn't change the expiry.
func TestSecretEqualsAge(t *testing.T) {
	for _, h := range secretives {
		inBubble(t, h.name, h.env("72"), func(t *testing.T) {
			now := time.Now()
			tk, err := token(t.Context(), h.open(t, "72", always(answer(200, `{"access_token":"t","expires_in":10800}`, "Age: 7200"))))
			require.NoError(t, err)
			require.Equal(t, time.Hour, tk.ExpiresOn.Sub(now))
		})
	}
}

// TestSecretEqualsToken checks a secret that is also the token. The emulators lowkey-vault and
// assumed-identity return the token "dummy" for the header "dummy".
func TestSecretEqualsToken(t *testing.T) {
	for _, h := range secretives {
		for n, secret := range shortSecrets {
			if strings.ContainsAny(secret, "\"\\ ") {
				continue // invalid in a token
			}
			inBubble(t, fmt.Sprint(h.name, " ", n), h.env(secret), func(t *testing.T) {
				w := always(answer(200, fmt.Sprintf(`{"access_token":%q,"expires_on":"%d","token_type":"Bearer"}`, secret, time.Now().Add(time.Hour).Unix())))
				tk, err := token(t.Context(), h.open(t, secret, w))
				require.NoError(t, err)
				require.Equal(t, secret, tk.Token)
				require.Equal(t, time.Now().Add(time.Hour).Unix(), tk.ExpiresOn.Unix())
			})
		}
	}
}

// TestSecretIsRedacted checks that a secret is removed, however a response repeats it.
func TestSecretIsRedacted(t *testing.T) {
	const plain = "canary-secret"
	var written safeBuffer
	azlog.SetListener(func(_ azlog.Event, text string) { fmt.Fprintln(&written, text) })
	t.Cleanup(func() { azlog.SetListener(nil) })
	for name, body := range map[string]string{
		"text": "you sent canary-secret", "JSON": `{"error":"canary-secret","error_description":"canary-secret"}`, "nested": `{"error":{"code":"canary-secret","message":"x canary-secret y"}}`,
		"escaped": `{"error":"x","error_description":"\u0063anary\u002dsecret"}`, "escaped in JSON that is cut": `{"error":"x","error_description":"\u0063anary\u002dsecret"`, "escaped twice": `{"error":"x","error_description":"{\"e\":\"\\u0063anary-secret\"}"}`, "escaped name": `{"error":"x","\u0063anary-secret":1,"error_description":"x"}`,
		"as a correlation ID": `{"statusCode":400,"message":"no","correlationId":"canary-secret"}`, "in Entra's trailer": `{"error":"x","error_description":"AADSTS1: Trace ID: canary-secret"}`,
		"another shape": `{"detail":"\u0063anary-secret","traceId":"canary-secret"}`, "HTML": "<html>canary-secret</html>", "a token": `{"access_token":"canary-token","expires_in":"1"`, "a token on a page": `<pre>{"Access_Token" : "canary-token"}</pre>`,
	} {
		for _, status := range []int{200, 400, 403, 429, 500, 302} {
			for _, h := range secretives {
				inBubble(t, fmt.Sprintf("%s %d %s", h.name, status, name), h.env(plain), func(t *testing.T) {
					w := always(answer(status, body, "Server: canary-secret", "X-Echo: x canary-secret", "x-ms-request-id: canary-secret", "Location: http://portal.example/canary-secret?canary-secret",
						"Retry-After: canary-secret", "WWW-Authenticate: Basic realm=canary-secret", "Canary-Secret: 1"))
					cred := h.open(t, plain, w, func(o *azhost.ManagedIdentityCredentialOptions) {
						o.Logger = slog.New(slog.NewJSONHandler(&written, &slog.HandlerOptions{Level: slog.LevelDebug}))
						o.TracingProvider = spans(&written)
						o.Logging.IncludeBody = true
						o.Logging.AllowedHeaders = []string{"Server", "X-Echo", "X-Identity-Header", "Secret", "Authorization", "x-ms-request-id"}
						o.UnavailableError = func(text string) error { fmt.Fprintln(&written, text); return nil }
						o.Observe = func(e azhost.Event) { fmt.Fprintln(&written, e) }
					})
					_, err := token(t.Context(), cred)
					require.Error(t, err)
					fmt.Fprintf(&written, "%v\n%+v\n", err, err)
					if failed, ok := errors.AsType[*azhost.AuthenticationFailedError](err); ok && failed.RawResponse != nil {
						body, err := io.ReadAll(failed.RawResponse.Body)
						require.NoError(t, err)
						fmt.Fprintf(&written, "%s %+v %+v\n", body, failed.RawResponse.Header, failed.RawResponse.Request.Header)
					}
					for h := range cred.Health() {
						fmt.Fprintln(&written, h)
					}
					time.Sleep(time.Second)
					synctest.Wait()
				})
			}
		}
	}
	text := written.String()
	require.Contains(t, text, "[removed]")
	require.Contains(t, text, "attempt")
	for _, canary := range []string{"canary-secret", "canary-token", `\u0063anary`} {
		if before, after, found := strings.Cut(text, canary); found {
			t.Fatalf("a secret was written: %s>>> %s%.80s", before[max(0, len(before)-600):], canary, after)
		}
	}
}

// TestEncodedSecretIsRedacted checks that a secret is removed in every encoding that a reader could undo.
func TestEncodedSecretIsRedacted(t *testing.T) {
	const secret = `k3y+Value/With="Quote"&<Amp>\end`
	escapedTwice, err := json.Marshal(map[string]string{"e": strconv.Quote(secret)})
	require.NoError(t, err)
	wide := func(s string, first, second string) (out string) {
		for _, r := range s {
			out += first + string(r) + second
		}
		return out
	}
	for name, form := range map[string]string{
		"itself":                secret,
		"HTML":                  html.EscapeString(secret),
		"HTML, twice":           html.EscapeString(html.EscapeString(secret)),
		"HTML, by number":       strings.NewReplacer(`"`, "&#x22;", "&", "&#38;").Replace(secret),
		"a query":               url.QueryEscape(secret),
		"a path":                url.PathEscape(secret),
		"a query, twice":        url.QueryEscape(url.QueryEscape(secret)),
		"Go":                    strconv.Quote(secret),
		"Go, in ASCII":          strconv.QuoteToASCII(secret),
		"JSON":                  string(escapedTwice),
		"PHP's JSON":            `{"x":"` + strings.NewReplacer("/", `\/`, `"`, `\u0022`, `\`, `\\`).Replace(secret) + `"}`,
		"UTF-16LE":              wide(secret, "", "\x00"),
		"UTF-16BE":              wide(secret, "\x00", ""),
		"UTF-16 with a mark":    "\xff\xfe" + wide(secret, "", "\x00"),
		"a zero-width space":    secret[:5] + "\u200b" + secret[5:],
		"control characters":    secret[:5] + "\x1b\x07" + secret[5:],
		"a soft hyphen in JSON": `{"statusCode":400,"message":"no ` + "k3y+Value/\u00adWith=" + `\"Quote\"&<Amp>\\end"}`,
		"across the cut":        strings.Repeat("x", 1015) + secret,
		"across another cut":    strings.Repeat(secret+" ", 400),
		"an ID":                 "denied. Trace ID: " + secret,
		"an ID in JSON":         `{"error":"x","error_description":"request id: ` + url.QueryEscape(secret) + `","requestId":"` + url.QueryEscape(secret) + `"}`,
	} {
		inBubble(t, name, map[string]string{"IDENTITY_ENDPOINT": "http://localhost:4141/msi", "IDENTITY_HEADER": secret}, func(t *testing.T) {
			var written safeBuffer
			for _, status := range []int{200, 302, 400} {
				cred := credential(t, always(answer(status, form, "x-ms-request-id: "+form, "Location: http://x/"+url.PathEscape(secret))), func(o *azhost.ManagedIdentityCredentialOptions) {
					o.Logger = slog.New(slog.NewTextHandler(&written, &slog.HandlerOptions{Level: slog.LevelDebug}))
				})
				_, err := token(t.Context(), cred)
				failed := requireFailed(t, err)
				body, readErr := io.ReadAll(failed.RawResponse.Body)
				require.NoError(t, readErr)
				synctest.Wait()
				for _, text := range []string{err.Error(), string(body), written.String()} {
					shown, undoErr := url.QueryUnescape(html.UnescapeString(html.UnescapeString(text)))
					require.True(t, undoErr == nil || shown == "")
					for _, part := range []string{"k3y", "Quote", "Amp", "k\x003"} {
						require.NotContains(t, text, part)
						require.NotContains(t, shown, part)
					}
				}
			}
		})
	}
}

// rawHost returns a credential for an App Service that sends response as it is.
func rawHost(t *testing.T, secret, response string) *azhost.ManagedIdentityCredential {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, response)
			_ = conn.Close()
		}
	}()
	setHost(t, azhost.SourceAppService)
	t.Setenv("IDENTITY_ENDPOINT", "http://"+listener.Addr().String())
	t.Setenv("IDENTITY_HEADER", secret)
	return credential(t, nil, func(o *azhost.ManagedIdentityCredentialOptions) { o.Retry.MaxRetries = -1 })
}

// TestSecretInMalformedResponse checks net/http's errors, which quote what it can't parse.
func TestSecretInMalformedResponse(t *testing.T) {
	const secret = `k3y"with\quotes`
	_, err := token(t.Context(), rawHost(t, secret, secret+" 400 Bad\r\n\r\n"))
	require.ErrorContains(t, err, "[removed]")
	require.NotContains(t, err.Error(), "k3y")
}

// TestSecretOutsideTheBody checks that an error's RawResponse has no secret in its reason phrase, header
// names, and trailer.
func TestSecretOutsideTheBody(t *testing.T) {
	const secret = "canary-secret"
	for name, response := range map[string]string{
		"whole": "HTTP/1.1 400 canary-secret\r\nX-Canary-Secret: 1\r\nX-Canary%2Dsecret: 1\r\nDate: Sat, 22 Jan 2000 19:20:08 GMT\r\n" +
			"Trailer: X-Late, Canary-Secret\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nX-Late: canary-secret\r\nCanary-Secret: 1\r\n\r\n",
		"cut short":                  "HTTP/1.1 400 canary-secret\r\nX-Canary-Secret: 1\r\nDate: Sat, 22 Jan 2000 19:20:08 GMT\r\nTrailer: Canary-Secret\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nno",
		"a redirect, across the cut": "HTTP/1.1 302 Found\r\nDate: Sat, 22 Jan 2000 19:20:08 GMT\r\nLocation: http://x/" + strings.Repeat("x", 183) + "canary-secret\r\n\r\n",
		"a redirect":                 "HTTP/1.1 302 canary-secret\r\nX-Canary-Secret: 1\r\nDate: Sat, 22 Jan 2000 19:20:08 GMT\r\nLocation: /x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := token(t.Context(), rawHost(t, secret, response))
			raw := requireFailed(t, err).RawResponse
			require.Equal(t, fmt.Sprint(raw.StatusCode, " ", http.StatusText(raw.StatusCode)), raw.Status)
			require.Empty(t, raw.Trailer)
			require.NotEmpty(t, raw.Header.Get("Date"))
			for _, text := range []string{err.Error(), fmt.Sprintf("%+v", raw.Header)} {
				require.NotContains(t, strings.ToLower(text), "canary")
			}
		})
	}
}

// TestSecretOccursInText checks that the error and the log differ from those with another secret only where
// the secret occurs.
func TestSecretOccursInText(t *testing.T) {
	const (
		id   = "01234567-89ab-cdef-0123-456789abcdef"
		body = `{"statusCode":400,"message":"No luck, Sam. Trace ID: ` + id + ` Correlation ID: ` + id + ` Timestamp: 2026-01-02 03:04:05Z","correlationId":"corr-1"}`
	)
	for _, secret := range []string{"message", "statusCode", "s", "correlationId", "Trace", ":", `"`, `\`, "2026", "Timestamp", "Sam", "removed", "dial", "%", "&", "+", "id"} {
		inBubble(t, secret, map[string]string{"IDENTITY_ENDPOINT": "http://localhost:4141/msi", "IDENTITY_HEADER": secret}, func(t *testing.T) {
			log, logged := jsonLog(t)
			cred := credential(t, always(answer(400, body)), func(o *azhost.ManagedIdentityCredentialOptions) { o.Logger = log })
			_, err := token(t.Context(), cred)
			require.ErrorContains(t, err, "400 Bad Request: "+strings.ReplaceAll("No luck, Sam", secret, "[removed]"))
			require.NotContains(t, err.Error(), id[:8])
			require.NotContains(t, err.Error(), "03:04")
			attempts := the(logged(), "azhost: attempt")
			require.Len(t, attempts, 1)
			require.Equal(t, strings.ReplaceAll("corr-1", secret, "[removed]"), attempts[0]["correlationId"])
			require.Contains(t, attempts[0]["entra"], strings.ReplaceAll(id, secret, "[removed]"))
		})
		inBubble(t, "no response and "+secret, map[string]string{"IDENTITY_ENDPOINT": "http://localhost:4141/msi", "IDENTITY_HEADER": secret}, func(t *testing.T) {
			_, err := token(t.Context(), credential(t, always(refusedDial)))
			require.ErrorContains(t, err, "Check that the app is running on the platform")
		})
	}
}

// TestSecretsAreNotLeaked runs both hosts through successes and failures with all logging and tracing
// enabled, and searches the output for keys and tokens.
func TestSecretsAreNotLeaked(t *testing.T) {
	var written safeBuffer
	azlog.SetListener(func(_ azlog.Event, text string) { fmt.Fprintln(&written, text) })
	t.Cleanup(func() { azlog.SetListener(nil) })
	keys := t.TempDir()
	key := filepath.Join(keys, "k.key")
	require.NoError(t, os.WriteFile(key, []byte("canary-key"), 0o600))
	challenge := answer(401, "", "WWW-Authenticate: Basic realm="+key)
	for _, test := range []struct {
		name   string
		source azhost.Source
		answer func(*http.Request) (*http.Response, error)
	}{
		{"token", azhost.SourceIMDS, answer(200, `{"access_token":"canary-token","expires_in":"3600"}`)},
		{"expired token", azhost.SourceIMDS, answer(200, `{"access_token":"canary-token","expires_on":"1700000000"}`)},
		{"broken token", azhost.SourceIMDS, answer(200, `{"access_token":"canary-token","expires_in":"3600"`, "Server: IMDS/1.0")},
		{"token and key", azhost.SourceAzureArc, answer(200, `{"access_token":"canary-token","expires_in":"3600"}`)},
		{"key sent back", azhost.SourceAzureArc, answer(500, `{"error":"x","error_description":"not canary-key"}`, "x-ms-request-id: canary-key")},
		{"key sent back, spelled in another way", azhost.SourceAzureArc, answer(500, `{"error":"x","error_description":"not canary\u002dke\u0079"}`)},
		{"key for an identity", azhost.SourceAzureArc, answer(200, `{"access_token":"x","expires_in":"60","client_id":"canary-key"}`)},
		{"key rejected", azhost.SourceAzureArc, challenge},
		{"key in a redirect", azhost.SourceAzureArc, answer(302, "", "Location: http://127.0.0.1/canary-key")},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := always(func(req *http.Request) (*http.Response, error) {
				if test.source == azhost.SourceAzureArc && req.Header.Get("Authorization") == "" {
					return challenge(req)
				}
				resp, err := test.answer(req)
				resp.Header.Set("Content-Type", "application/json") // without which azcore logs no body
				return resp, err
			})
			o := arcOptions(w, keys)
			o.Source = test.source
			o.Logger = slog.New(slog.NewTextHandler(&written, &slog.HandlerOptions{Level: slog.LevelDebug}))
			o.Logging.IncludeBody = true
			o.Logging.AllowedHeaders = []string{"authorization", "Metadata"}
			o.Retry.MaxRetries = -1
			o.TracingProvider = spans(&written)
			cred, err := azhost.NewManagedIdentityCredential(o)
			require.NoError(t, err)
			require.Equal(t, []string{"authorization", "Metadata"}, o.Logging.AllowedHeaders, "the caller's options were changed")
			_, err = token(t.Context(), cred)
			fmt.Fprintf(&written, "%v\n%+v\n", err, err)
			if err != nil {
				if failed := requireFailed(t, err); failed.RawResponse != nil {
					fmt.Fprintln(&written, failed.RawResponse, failed.RawResponse.Request)
					_, _ = written.ReadFrom(failed.RawResponse.Body)
				}
			}
		})
	}
	text := written.String()
	for _, want := range []string{"ManagedIdentityCredential.GetToken", "token acquired", "token request failed", "Authorization"} {
		require.True(t, strings.Contains(text, want), "%s: the test doesn't search all output", want)
	}
	if before, after, found := strings.Cut(text, "canary"); found {
		t.Fatalf("a secret was written: %s>>> canary%.50s", before[max(0, len(before)-500):], after)
	}
}

// spans returns a provider whose spans write everything that they record.
func spans(w *safeBuffer) tracing.Provider {
	return tracing.NewProvider(func(name, version string) tracing.Tracer {
		return tracing.NewTracer(func(ctx context.Context, span string, o *tracing.SpanOptions) (context.Context, tracing.Span) {
			fmt.Fprintln(w, name, span, o)
			return ctx, tracing.NewSpan(tracing.SpanImpl{
				End:           func() {},
				SetAttributes: func(a ...tracing.Attribute) { fmt.Fprintln(w, a) },
				AddEvent:      func(event string, a ...tracing.Attribute) { fmt.Fprintln(w, event, a) },
				SetStatus:     func(_ tracing.SpanStatus, text string) { fmt.Fprintln(w, text) },
			})
		}, nil)
	}, nil)
}
