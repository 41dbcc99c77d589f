// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// This file tests what users report about errors that hide their cause or differ each time.

func TestDeadlineErrorNamesHost(t *testing.T) {
	inBubble(t, "leftover variable", map[string]string{"MSI_ENDPOINT": "http://127.0.0.1:50342/token?secret=1"}, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := token(ctx, credential(t, always(hang)))
		requireFailed(t, err)
		require.EqualError(t, err, `azhost: gave up waiting for a token for "https://vault.azure.net" from Cloud Shell at http://127.0.0.1:50342/token, chosen because MSI_ENDPOINT is set and MSI_SECRET is not: context deadline exceeded`)
	})
}

// TestDeadlineErrorHasCause checks that callers whose deadline ends before the retries get the last attempt's
// text, RawResponse, and wrapped error.
func TestDeadlineErrorHasCause(t *testing.T) {
	bye := errors.New("shutting down")
	for _, cause := range []struct {
		name   string
		host   func(*http.Request) (*http.Response, error)
		want   string
		status int
		is     error
	}{
		{"throttled", answer(429, `{"error":"too_many_requests","error_description":"slow down"}`), "429 Too Many Requests: too_many_requests: slow down", 429, nil},
		{"throttled, with a pause", answer(429, "slow down", "Retry-After: 20"), "429 Too Many Requests: slow down", 429, nil},
		{"failing", answer(500, "no reason"), "500 Internal Server Error: no reason", 500, nil},
		{"updating", answer(410, ""), "410 Gone", 410, nil},
		{"refused", refusedDial, "connection refused", 0, syscall.ECONNREFUSED},
		{"reset", reset, "connection reset", 0, syscall.ECONNRESET},
		{"cut short", func(req *http.Request) (*http.Response, error) {
			resp, err := answer(503, "")(req)
			resp.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))
			return resp, err
		}, "503", 0, io.ErrUnexpectedEOF},
	} {
		for name, leave := range map[string]func(context.Context) (context.Context, context.CancelFunc){
			"10 s": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 10*time.Second)
			},
			"3 s": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 3*time.Second)
			},
			"45 s": func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 45*time.Second)
			},
			"canceled": func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				time.AfterFunc(10*time.Second, func() { cancel(bye) })
				return ctx, func() { cancel(nil) }
			},
		} {
			inBubble(t, cause.name+" after "+name, nil, func(t *testing.T) {
				cred := onVM(t, always(cause.host), known)
				ctx, cancel := leave(t.Context())
				defer cancel()
				_, err := token(ctx, cred)
				failed := requireFailed(t, err)
				require.ErrorContains(t, err, "; last attempt: ")
				require.ErrorContains(t, err, cause.want)
				require.ErrorIs(t, err, ctx.Err())
				if name == "canceled" {
					require.ErrorContains(t, err, bye.Error())
				}
				if cause.is != nil {
					require.ErrorIs(t, err, cause.is)
				}
				if cause.status != 0 {
					require.Equal(t, cause.status, failed.RawResponse.StatusCode)
				}
			})
		}
	}
}

// TestSilentHost checks that after a minute, the error says that the host accepted the request but didn't
// respond.
func TestSilentHost(t *testing.T) {
	const silent = "the request was accepted, but there was no response in time"
	for name, test := range map[string]struct {
		adjust func(*azhost.ManagedIdentityCredentialOptions)
		want   string
		never  string
	}{
		"off Azure": {func(*azhost.ManagedIdentityCredentialOptions) {}, silent + " (context deadline exceeded). IMDS may be overloaded, or a firewall", "isn't an Azure VM"},
		"on Azure":  {known, silent, "isn't an Azure VM"},
		"on Azure, impatient": {func(o *azhost.ManagedIdentityCredentialOptions) {
			known(o)
			o.Retry.MaxRetries = -1
		}, silent + " (context deadline exceeded). IMDS may be overloaded", "isn't an Azure VM"},
		"an Arc agent": {func(o *azhost.ManagedIdentityCredentialOptions) {
			o.Source, o.Endpoint, o.ArcKeyDirectory = azhost.SourceAzureArc, "", t.TempDir()
		}, silent, "Start the Arc agent"},
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			start := time.Now()
			_, err := token(t.Context(), onVM(t, transporter(hang), test.adjust))
			require.ErrorContains(t, err, test.want)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.GreaterOrEqual(t, time.Since(start), time.Minute)
			if test.never != "" {
				require.NotContains(t, err.Error(), test.never)
			}
		})
	}
	inBubble(t, "a connection that breaks is another failure", nil, func(t *testing.T) {
		_, err := token(t.Context(), onVM(t, always(reset)))
		require.NotContains(t, err.Error(), "not answered in time")
	})
}

// TestErrorTextIsStable checks that the same failure has the same text, because controllers write it to a
// status and reconcile when that changes. TestTroubleshooting does so for every message.
func TestErrorTextIsStable(t *testing.T) {
	var n atomic.Int32
	id := func() string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n.Add(1)) }
	ids := func(body string, headers ...string) func(*http.Request) (*http.Response, error) {
		return func(req *http.Request) (*http.Response, error) {
			now := time.Now().UTC()
			text := strings.NewReplacer("{id}", id(), "{other}", id(), "{time}", now.Format("2006-01-02 15:04:05Z"), "{iso}", now.Format(time.RFC3339Nano)).Replace(body)
			return answer(400, text, append(headers, "x-ms-request-id: "+id(), "Date: "+now.Format(http.TimeFormat))...)(req)
		}
	}
	port := func() int { return int(40000 + n.Add(1)) }
	broken := func(op, network string, from, to net.Addr, err error) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) {
			switch a := from.(type) {
			case *net.TCPAddr:
				a.Port = port()
			case *net.UDPAddr:
				a.Port = port()
			}
			return nil, &net.OpError{Op: op, Net: network, Source: from, Addr: to, Err: err}
		}
	}
	imds := &net.TCPAddr{IP: net.IPv4(169, 254, 169, 254), Port: 80}
	v6 := &net.TCPAddr{IP: net.ParseIP("fe80::2"), Zone: "eth0", Port: 80}
	for name, host := range map[string]func(*http.Request) (*http.Response, error){
		"Entra's trailer":                 ids(`{"error":"invalid_request","error_description":"AADSTS700016: Application not found.\r\nTrace ID: {id}\r\nCorrelation ID: {other}\r\nTimestamp: {time}"}`),
		"Entra's trailer in one line":     ids(`{"error":"invalid_request","error_description":"AADSTS700016: Application not found. Trace ID: {id} Correlation ID: {other} Timestamp: {time}"}`),
		"Entra's trailer in text":         ids("AADSTS700016: Application not found. Trace ID: {id} Correlation ID: {other} Timestamp: {time}"),
		"App Service's ID":                ids(`{"statusCode":400,"message":"No identity","correlationId":"{id}"}`),
		"Service Fabric's ID":             ids(`{"error":{"correlationId":"{id}","code":"ManagedIdentityNotFound","message":"none"}}`),
		"an ID in JSON of no known shape": ids(`{"message":"No","correlationId":"{id}","timestamp":"{iso}"}`),
		"a problem of ASP.NET":            ids(`{"type":"about:blank","title":"Bad Request","status":400,"traceId":"00-{id}-01"}`),
		"an ID in front":                  ids(`{"requestId":"{id}","detail":"No"}`),
		"an ID with spaces":               ids(`{ "request_id" : "{id}" , "time" : "{iso}" , "detail" : "No" }`),
		"request IDs in headers":          ids("No", "x-ms-correlation-id: 1"),
		"read":                            broken("read", "tcp", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 4)}, imds, os.NewSyscallError("read", syscall.ECONNRESET)),
		"write":                           broken("write", "tcp", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 4)}, imds, os.NewSyscallError("write", syscall.EPIPE)),
		"dial":                            broken("dial", "tcp", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 4)}, imds, os.NewSyscallError("connect", syscall.EHOSTUNREACH)),
		"IPv6":                            broken("read", "tcp6", &net.TCPAddr{IP: net.ParseIP("fd00::4")}, v6, os.NewSyscallError("read", syscall.ECONNRESET)),
		"IPv6 with a zone":                broken("read", "tcp6", &net.TCPAddr{IP: net.ParseIP("fe80::4"), Zone: "eth0"}, v6, os.NewSyscallError("read", syscall.ECONNRESET)),
		"a resolver":                      broken("read", "udp", &net.UDPAddr{IP: net.IPv4(10, 0, 0, 4)}, &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 53}, os.ErrDeadlineExceeded),
	} {
		for state, adjust := range map[string]func(*azhost.ManagedIdentityCredentialOptions){
			"known":   known,
			"unknown": func(*azhost.ManagedIdentityCredentialOptions) {},
		} {
			inBubble(t, name+", "+state, nil, func(t *testing.T) {
				texts := map[string]bool{}
				cred := onVM(t, always(host), adjust, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = azhost.ClientID("me") })
				for range 3 {
					_, err := token(t.Context(), cred)
					require.Error(t, err)
					texts[err.Error()] = true
					time.Sleep(61 * time.Second)
				}
				require.Len(t, texts, 1)
			})
		}
	}
	inBubble(t, "while the host asks for a pause", nil, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.FailUntil(time.Now().Add(time.Hour), azhosttest.Throttled(100*time.Second))
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		texts := map[string]bool{}
		for range 10 {
			_, err := token(t.Context(), cred)
			require.Equal(t, 429, requireFailed(t, err).RawResponse.StatusCode)
			texts[err.Error()] = true
			time.Sleep(20 * time.Second)
		}
		require.Len(t, texts, 1)
		vm.RequireRequests(t, 2)
	})
}

// TestIDsAreLogged checks that request IDs, which errors omit, are logged, wherever a host or a proxy
// writes them.
func TestIDsAreLogged(t *testing.T) {
	const id = "11111111-0000-0000-0000-000000000000"
	for name, test := range map[string]struct{ body, header, want string }{
		"correlation_id":     {`{"error":"x","error_description":"No","correlation_id":"ID"}`, "", "correlation_id=ID"},
		"trace_id":           {`{"error":"x","error_description":"No","trace_id":"ID"}`, "", "trace_id=ID"},
		"requestId":          {`{"message":"No","requestId":"ID"}`, "", "requestId=ID"},
		"activityId":         {`{"error":{"message":"No","activityId":"ID"}}`, "", "activityId=ID"},
		"correlation header": {"No", "x-ms-correlation-request-id: ID", "x-ms-correlation-request-id=ID"},
		"request header":     {"No", "x-request-id: ID", "x-request-id=ID"},
		"trailer":            {"No. Request ID: ID", "", `entra="Request ID: ID"`},
		"text":               {"request ID failed", "", `text="request ID failed"`},
		"a host's text":      {`{"error":"x","error_description":"request ID failed"}`, "", `text="x: request ID failed"`},
		"a content network":  {"<html>Ray ID: <b>ID</b>", "", `text="<html>Ray ID: <b>ID</b>"`},
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			var log safeBuffer
			fill := func(s string) string {
				return strings.NewReplacer("Ray ID", "Ray ID", "Request ID:", "Request ID:", "ID", id).Replace(s)
			}
			cred := onVM(t, always(answer(403, fill(test.body), fill(test.header))), known, func(o *azhost.ManagedIdentityCredentialOptions) {
				o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			})
			_, err := token(t.Context(), cred)
			require.NotContains(t, err.Error(), id)
			synctest.Wait()
			require.Contains(t, log.String(), fill(test.want))
		})
	}
}

// TestRequestIDsAreLogged checks that request IDs, which Azure support asks for, are in the log. They
// aren't in the error.
func TestRequestIDsAreLogged(t *testing.T) {
	const request, correlation = "11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"
	for _, test := range []struct {
		name   string
		source azhost.Source
		body   string
	}{
		{"App Service", azhost.SourceAppService, `{"statusCode":400,"message":"No","correlationId":"` + correlation + `"}`},
		{"Service Fabric's form", azhost.SourceAppService, `{"error":{"code":"x","message":"No","correlationId":"` + correlation + `"}}`},
		{"IMDS", azhost.SourceIMDS, `{"error":"x","error_description":"No","correlationId":"` + correlation + `"}`},
		{"no known form", azhost.SourceAppService, `{"detail":"No","correlationId":"` + correlation + `"}`},
		{"an inner message alone", azhost.SourceAppService, `{"error":{"message":"No","correlationId":"` + correlation + `"}}`},
	} {
		inBubble(t, test.name, platforms[test.source], func(t *testing.T) {
			var log safeBuffer
			var sent string
			w := always(func(req *http.Request) (*http.Response, error) {
				sent = req.Header.Get("x-ms-client-request-id")
				return answer(400, test.body, "x-ms-request-id: "+request)(req)
			})
			cred := credential(t, w, func(o *azhost.ManagedIdentityCredentialOptions) {
				o.Source, o.ID = test.source, azhost.ClientID("me")
				o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			})
			_, err := token(t.Context(), cred)
			requireFailed(t, err)
			synctest.Wait()
			require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f-]{27}$`, sent)
			for _, want := range []string{"attempt=1 status=400", "x-ms-client-request-id=" + sent, "x-ms-request-id=" + request, "correlationId=" + correlation} {
				require.Contains(t, log.String(), want)
			}
			for _, never := range []string{sent, request, correlation} {
				require.NotContains(t, err.Error(), never)
			}
		})
	}
	t.Run("Service Fabric", func(t *testing.T) {
		var log safeBuffer
		fabric(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":{"correlationId":"`+correlation+`","code":"ManagedIdentityNotFound","message":"none"}}`)
		})
		done := make(chan azhost.Event, 1)
		cred := credential(t, nil, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.Transport = &http.Client{}
			o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			o.Observe = func(e azhost.Event) { done <- e }
		})
		_, err := token(t.Context(), cred)
		requireFailed(t, err)
		<-done
		require.Eventually(t, func() bool { return strings.Contains(log.String(), "correlationId="+correlation) }, 10*time.Second, time.Millisecond)
		require.NotContains(t, err.Error(), correlation)
	})
}
