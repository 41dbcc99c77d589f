// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// line is one line of a JSON log.
type line map[string]any

// jsonLog returns a logger, and a function that returns what it has logged.
func jsonLog(t *testing.T) (*slog.Logger, func() []line) {
	var log safeBuffer
	return slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), func() []line {
		synctest.Wait()
		var lines []line
		for text := range strings.Lines(log.String()) {
			var l line
			require.NoError(t, json.Unmarshal([]byte(text), &l))
			lines = append(lines, l)
		}
		return lines
	}
}

// the returns the lines with a message.
func the(lines []line, message string) []line {
	var found []line
	for _, l := range lines {
		if l["msg"] == message {
			found = append(found, l)
		}
	}
	return found
}

// TestAttemptsAreLogged checks that each attempt is logged at Debug with its number, status or error,
// request IDs, and pause. Durations are strings, because in JSON they would be nanoseconds.
func TestAttemptsAreLogged(t *testing.T) {
	inBubble(t, "on a VM", nil, func(t *testing.T) {
		log, logged := jsonLog(t)
		ids := map[string]bool{}
		w := &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
			ids[req.Header.Get("x-ms-client-request-id")] = true
			switch n {
			case 1:
				return answer(500, `{"error":"unknown","error_description":"no"}`, "Server: IMDS/1.0", fmt.Sprint("x-ms-request-id: id-", n))(req)
			case 2:
				return answer(429, "", "Retry-After: 20", fmt.Sprint("x-ms-request-id: id-", n))(req)
			case 3:
				return reset(req)
			case 4:
				return refusedDial(req)
			}
			resp, err := goodToken(req)
			resp.Header.Set("x-ms-request-id", fmt.Sprint("id-", n))
			return resp, err
		}}
		cred := onVM(t, w, known, func(o *azhost.ManagedIdentityCredentialOptions) { o.Logger = log })
		_, err := token(t.Context(), cred)
		require.NoError(t, err)
		attempts := the(logged(), "azhost: attempt")
		require.Len(t, attempts, 5)
		require.Len(t, ids, 1, "one ID for all attempts of a request")
		for i, a := range attempts {
			n := i + 1
			require.Equal(t, "DEBUG", a["level"])
			require.EqualValues(t, n, a["attempt"])
			require.Equal(t, "IMDS", a["source"])
			switch n {
			case 3, 4:
				require.Contains(t, a["error"], []string{"reset", "refused"}[n-3])
				require.NotContains(t, a, "status")
			default:
				require.EqualValues(t, []int{500, 429, 0, 0, 200}[i], a["status"])
				require.Equal(t, fmt.Sprint("id-", n), a["x-ms-request-id"])
				require.True(t, ids[a["x-ms-client-request-id"].(string)])
			}
			if n == 5 {
				require.NotContains(t, a, "pause")
				continue
			}
			pause, err := time.ParseDuration(a["pause"].(string))
			require.NoError(t, err)
			at, next := parseTime(t, a["time"]), parseTime(t, attempts[i+1]["time"])
			require.InDelta(t, pause.Seconds(), next.Sub(at).Seconds(), 0.001, "the logged pause differs from the real one")
		}
	})
	inBubble(t, "on Arc", nil, func(t *testing.T) {
		log, logged := jsonLog(t)
		a := azhosttest.NewArc(t)
		a.Fail(azhosttest.ServerError(), azhosttest.ServerError())
		_, err := token(t.Context(), onArc(t, a, func(o *azhost.ManagedIdentityCredentialOptions) { o.Logger = log }))
		require.NoError(t, err)
		require.Len(t, the(logged(), "azhost: attempt"), 3)
		for _, r := range a.Requests() {
			require.NotEmpty(t, r.Header.Get("x-ms-client-request-id"))
		}
	})
	for name, host := range map[string]func(*http.Request) (*http.Response, error){
		"a token": goodToken, "a token after a while": nil, "a rejection": answer(400, "no"), "always failing": answer(503, "", "Retry-After: 7"), "no connection": droppedDial,
	} {
		if host == nil {
			host = lateBy(30*time.Second, refusedDial).Do
		}
		inBubble(t, "durations are strings, "+name, nil, func(t *testing.T) {
			log, logged := jsonLog(t)
			cred := onVM(t, always(host), known, func(o *azhost.ManagedIdentityCredentialOptions) { o.Logger = log })
			_, _ = token(t.Context(), cred)
			time.Sleep(13 * time.Hour)
			_, _ = token(t.Context(), cred) // which may start a refresh
			time.Sleep(3 * time.Minute)
			lines := logged()
			require.NotEmpty(t, lines)
			for _, l := range lines {
				for name, value := range l {
					if _, number := value.(float64); number {
						require.Contains(t, []string{"attempt", "attempts", "status"}, name, l)
					}
				}
				if after, ok := l["after"]; ok {
					_, err := time.ParseDuration(after.(string))
					require.NoError(t, err)
				}
			}
		})
	}
}

// TestLastAttemptHasNoPause checks that the last attempt's line has no pause, whatever ends the attempts.
func TestLastAttemptHasNoPause(t *testing.T) {
	for name, test := range map[string]struct {
		host     func(*http.Request) (*http.Response, error)
		deadline time.Duration
		attempts int
	}{
		"the schedule is over":  {answer(503, ""), time.Hour, 6},
		"the pause is too long": {answer(503, "", "Retry-After: 100"), time.Hour, 1},
		"the caller is canceled in an attempt": {func(req *http.Request) (*http.Response, error) {
			time.Sleep(5 * time.Second)
			return answer(503, "")(req)
		}, time.Second, 1},
		"a rejection": {answer(400, "", "Retry-After: 10"), time.Hour, 1},
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			log, logged := jsonLog(t)
			cred := onVM(t, always(test.host), known, func(o *azhost.ManagedIdentityCredentialOptions) { o.Logger = log })
			ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
			defer cancel()
			_, err := token(ctx, cred)
			require.Error(t, err)
			time.Sleep(time.Minute)
			attempts := the(logged(), "azhost: attempt")
			require.Len(t, attempts, test.attempts)
			for i, a := range attempts {
				require.Equal(t, i < test.attempts-1, a["pause"] != nil, a)
			}
		})
	}
}

// TestEntraTrailerIsLogged checks that the log has Entra's trailer, which support searches by. Errors omit
// it, because it differs each time.
func TestEntraTrailerIsLogged(t *testing.T) {
	const trailer = "Trace ID: 11111111-0000-0000-0000-000000000000 Correlation ID: 22222222-0000-0000-0000-000000000000 Timestamp: 2026-11-25 10:00:00Z"
	for name, test := range map[string]struct{ body, want string }{
		"JSON":        {`{"error":"invalid_request","error_description":"AADSTS700016: Not found.\r\n` + strings.ReplaceAll(trailer, "0 C", `0\r\nC`) + `"}`, trailer},
		"text":        {"AADSTS700016: Not found.\r\n" + trailer, trailer},
		"many":        {"AADSTS700016: Not found." + strings.Repeat(" x "+trailer, 6), strings.Repeat(trailer+" ", 6)[:256] + "…"},
		"no trailer":  {`{"error":"invalid_request","error_description":"Not found"}`, ""},
		"only a name": {"Trace ID is unknown", ""},
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			log, logged := jsonLog(t)
			cred := onVM(t, always(answer(400, test.body)), known, func(o *azhost.ManagedIdentityCredentialOptions) {
				o.Logger, o.ID = log, azhost.ClientID("me")
			})
			_, err := token(t.Context(), cred)
			require.ErrorContains(t, err, "400 Bad Request: ")
			require.NotContains(t, err.Error(), "11111111")
			attempts := the(logged(), "azhost: attempt")
			require.Len(t, attempts, 1)
			if test.want == "" {
				require.NotContains(t, attempts[0], "entra")
			} else {
				require.Equal(t, test.want, attempts[0]["entra"])
			}
		})
	}
}

func parseTime(t *testing.T, v any) time.Time {
	at, err := time.Parse(time.RFC3339Nano, v.(string))
	require.NoError(t, err)
	return at
}

// TestOutcomeWithoutCallerIsLogged checks that a failure without a caller is logged at Warn, with its
// error.
func TestOutcomeWithoutCallerIsLogged(t *testing.T) {
	inBubble(t, "the caller has left", nil, func(t *testing.T) {
		log, logged := jsonLog(t)
		cred := onVM(t, always(func(req *http.Request) (*http.Response, error) {
			time.Sleep(30 * time.Second)
			return answer(500, "at last", "Server: IMDS/1.0")(req)
		}), func(o *azhost.ManagedIdentityCredentialOptions) { o.Logger = log })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := token(ctx, cred)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, the(logged(), "azhost: attempt"))
		time.Sleep(30 * time.Second)
		warned := the(logged(), "azhost: token request failed after its last caller had left")
		require.Len(t, warned, 1)
		require.Equal(t, "WARN", warned[0]["level"])
		require.Equal(t, vault, warned[0]["resource"])
		require.Equal(t, "30s", warned[0]["after"])
		require.Contains(t, warned[0]["error"], "500 Internal Server Error: at last")
	})
	inBubble(t, "a refresh", nil, func(t *testing.T) {
		log, logged := jsonLog(t)
		vm := azhosttest.NewVM(t)
		o := vm.InMemory()
		o.Logger = log
		cred, err := azhost.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		_, err = token(t.Context(), cred)
		require.NoError(t, err)
		time.Sleep(13 * time.Hour)
		vm.FailUntil(time.Now().Add(time.Hour), azhosttest.InvalidResource())
		_, err = token(t.Context(), cred)
		require.NoError(t, err)
		warned := the(logged(), "azhost: refresh failed; the cached token is still valid")
		require.Len(t, warned, 1)
		require.Equal(t, "WARN", warned[0]["level"])
		require.Contains(t, warned[0]["error"], "AADSTS50001")
		pause, err := time.ParseDuration(warned[0]["pause"].(string))
		require.NoError(t, err)
		require.GreaterOrEqual(t, pause, 30*time.Second)
	})
}

// TestIdentityIsLogged checks that the identity is logged at Info when the host is found.
func TestIdentityIsLogged(t *testing.T) {
	a := azhosttest.UserAssigned("a")
	for id, want := range map[azhost.ManagedIDKind]string{
		nil:                         "system-assigned",
		azhost.ClientID(a.ClientID): "user-assigned, client ID " + a.ClientID,
		azhost.ObjectID(a.ObjectID): "user-assigned, object ID " + a.ObjectID,
		azhost.ResourceID("/x"):     "user-assigned, resource ID /x",
	} {
		for _, source := range []azhost.Source{azhost.SourceIMDS, azhost.SourceAppService} {
			inBubble(t, fmt.Sprint(source, ", ", want), platforms[source], func(t *testing.T) {
				log, logged := jsonLog(t)
				credential(t, always(goodToken), func(o *azhost.ManagedIdentityCredentialOptions) { o.ID, o.Logger = id, log })
				lines := logged()
				require.Len(t, lines, 1)
				require.Equal(t, "INFO", lines[0]["level"])
				require.Equal(t, "azhost: host found", lines[0]["msg"])
				require.Equal(t, want, lines[0]["identity"])
				require.EqualValues(t, source, lines[0]["source"])
				require.NotEmpty(t, lines[0]["reason"])
			})
		}
	}
}

// TestAzureSDKLogging checks that AZURE_SDK_GO_LOGGING=all writes azhost's lines, for credentials without a
// Logger, and azcore's to standard error. azcore reads the variable when a program starts, so the test runs
// itself again.
func TestAzureSDKLogging(t *testing.T) {
	const variable = "AZHOST_TEST_SWITCH"
	if os.Getenv(variable) != "" {
		synctest.Test(t, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			vm.Fail(azhosttest.ServerError(), azhosttest.InvalidResource())
			cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
			require.NoError(t, err)
			_, err = token(t.Context(), cred)
			require.Error(t, err)
			time.Sleep(2 * time.Second) // until the failure is forgotten
			_, err = token(t.Context(), cred)
			require.NoError(t, err)
			synctest.Wait()
		})
		return
	}
	run := func(value string) string {
		self, err := os.Executable()
		require.NoError(t, err)
		again := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), variable+"=1", "AZURE_SDK_GO_LOGGING="+value)
		var stderr strings.Builder
		again.Stderr = &stderr
		out, err := again.Output()
		require.NoError(t, err, "%s%s", out, stderr.String())
		return stderr.String()
	}
	require.Empty(t, run(""))
	log := run("all")
	for _, want := range []string{
		`Authentication: azhost: host found source="IMDS" reason="Source is set" identity="system-assigned"`,
		`Authentication: azhost: attempt source="IMDS" attempt="1" status="500"`,
		`Authentication: azhost: attempt source="IMDS" attempt="2" status="400"`,
		`Authentication: azhost: token request failed source="IMDS" resource="https://vault.azure.net"`,
		`Authentication: azhost: token acquired source="IMDS"`,
		"Request: ==> OUTGOING REQUEST", // azcore's own
	} {
		require.Contains(t, log, want)
	}
	for text := range strings.Lines(log) {
		if strings.Contains(text, "azhost:") && strings.HasPrefix(text, "[") {
			require.Regexp(t, `^\[[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d\.\d{6}\] Authentication: azhost: `, text)
		}
	}
	require.NotContains(t, log, "eyJ", "a token was written")
}
