// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package callers

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// This file tests what users report about waiting: too long, or not long enough.

var containerGroup = map[string]string{"IDENTITY_HEADER": "x", "IDENTITY_SERVER_THUMBPRINT": "y", "IDENTITY_API_VERSION": "2020-05-01"}

// TestContainerInstancesWaitForIMDS checks that azhost waits for IMDS, which starts some time after the
// container. Only the variables show that it will.
func TestContainerInstancesWaitForIMDS(t *testing.T) {
	for name, meanwhile := range map[string]func(*http.Request) (*http.Response, error){
		"packets dropped":    droppedDial,
		"connection refused": refusedDial,
		"connection reset":   reset,
		"not found":          answer(404, "404 page not found"),
		"bad gateway":        answer(502, "<html>"),
	} {
		for _, late := range []time.Duration{20 * time.Second, 70 * time.Second} {
			inBubble(t, fmt.Sprint(name, " for ", late), containerGroup, func(t *testing.T) {
				var log safeBuffer
				cred := credential(t, lateBy(late, meanwhile), func(o *azhost.ManagedIdentityCredentialOptions) {
					o.Logger = slog.New(slog.NewTextHandler(&log, nil))
				})
				require.Equal(t, azhost.SourceIMDS, cred.Source())
				_, err := token(t.Context(), cred)
				require.NoError(t, err)
				synctest.Wait()
				require.NotContains(t, log.String(), "level=WARN", "nothing to warn about")
			})
		}
	}
	for name, env := range map[string]map[string]string{
		"no thumbprint":        {"IDENTITY_HEADER": "x", "IDENTITY_API_VERSION": "2020-05-01"},
		"another API version":  {"IDENTITY_HEADER": "x", "IDENTITY_SERVER_THUMBPRINT": "y", "IDENTITY_API_VERSION": "2019-07-01-preview"},
		"the thumbprint alone": {"IDENTITY_SERVER_THUMBPRINT": "y", "IDENTITY_API_VERSION": "2020-05-01"},
	} {
		inBubble(t, "not Container Instances: "+name, env, func(t *testing.T) {
			w := always(droppedDial)
			_, err := token(t.Context(), onVM(t, w))
			requireUnavailable(t, err)
			require.Equal(t, 1, w.Requests())
		})
	}
}

// TestIMDSSourceIsRetried checks that azhost retries if Source is set, which says that the program runs on
// Azure.
func TestIMDSSourceIsRetried(t *testing.T) {
	for name, meanwhile := range map[string]func(*http.Request) (*http.Response, error){
		"packets dropped": droppedDial, "connection refused": refusedDial, "connection reset": reset, "updating": answer(410, ""),
		"request timeout": answer(408, ""), "not found": answer(404, ""), "throttled": answer(429, "busy"), "a proxy's error": answer(511, "<html>"),
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			start := time.Now()
			_, err := token(t.Context(), onVM(t, lateBy(70*time.Second, meanwhile), known))
			require.NoError(t, err)
			require.Less(t, time.Since(start), 140*time.Second)
		})
		inBubble(t, name+" permanently", nil, func(t *testing.T) {
			w := always(meanwhile)
			_, err := token(t.Context(), onVM(t, w, known))
			require.Error(t, err)
			require.Equal(t, 6, w.Requests())
		})
	}
}

// TestForeignResponseOffAzure checks that a chain can continue after the first response, whatever its
// status.
func TestForeignResponseOffAzure(t *testing.T) {
	bodies := map[string]string{"HTML": "<html><body>Sign in</body></html>", "text": "upstream connect error", "empty": "", "JSON": `{"message":"Not Found"}`}
	for _, status := range []int{200, 301, 400, 401, 403, 404, 405, 407, 408, 410, 421, 429, 500, 502, 503, 504, 511} {
		for kind, body := range bodies {
			inBubble(t, fmt.Sprint(status, " ", kind), nil, func(t *testing.T) {
				start := time.Now()
				w := always(answer(status, body, "Server: squid/5.7", "Retry-After: 30", "Location: http://portal.example/"))
				_, err := token(t.Context(), onVM(t, w))
				requireUnavailable(t, err)
				require.Equal(t, 1, w.Requests())
				require.Zero(t, time.Since(start))
			})
		}
	}
	for name, headers := range map[string][]string{
		"IMDS itself":                            {"Server: IMDS/150.870.65.1854"},
		"the host while IMDS restarts":           {"Server: Microsoft-IIS/10.0"},
		"the host, another server":               {"Server: Microsoft-HTTPAPI/2.0"},
		"through the Metadata Security Protocol": {"x-ms-azure-host-authorization: value"},
	} {
		inBubble(t, "not foreign: "+name, nil, func(t *testing.T) {
			w := always(answer(503, "<html>", headers...))
			_, err := token(t.Context(), onVM(t, w))
			requireFailed(t, err)
			require.Equal(t, 6, w.Requests())
		})
	}
}

// TestOneRetryScheduleInFiveMinutes checks that while IMDS is down, each call makes one attempt, for five
// minutes or until something responds.
func TestOneRetryScheduleInFiveMinutes(t *testing.T) {
	for name, gone := range map[string]func(*http.Request) (*http.Response, error){
		"packets dropped": droppedDial, "connection refused": refusedDial, "connection reset": reset, "updating": answer(410, ""), "failing": answer(500, "no"),
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			w := always(gone)
			cred := onVM(t, w, known)
			call := func() (attempts int) {
				before := w.Requests()
				_, err := token(t.Context(), cred)
				require.Error(t, err)
				return w.Requests() - before
			}
			require.Equal(t, 6, call())
			for range 20 {
				time.Sleep(10 * time.Second)
				require.Equal(t, 1, call())
			}
			time.Sleep(5 * time.Minute)
			require.Equal(t, 6, call(), "a whole schedule after five minutes")
		})
		inBubble(t, name+", then recovered", nil, func(t *testing.T) {
			well := false
			w := always(func(req *http.Request) (*http.Response, error) {
				if well {
					return goodToken(req)
				}
				return gone(req)
			})
			cred := onVM(t, w, known)
			_, err := token(t.Context(), cred)
			require.Error(t, err)
			time.Sleep(2 * time.Second)
			well = true
			_, err = token(t.Context(), cred)
			require.NoError(t, err)
			well = false
			before := w.Requests()
			_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"another"}})
			require.Error(t, err)
			require.Equal(t, 6, w.Requests()-before, "a whole schedule after a response")
		})
	}
}

// TestLateSidecar checks that azhost waits for a sidecar, which Container Apps starts after the program.
// The variables show that it will start.
func TestLateSidecar(t *testing.T) {
	for source, env := range platforms {
		if source == azhost.SourceServiceFabric {
			continue // whose connection needs a socket
		}
		for name, meanwhile := range map[string]func(*http.Request) (*http.Response, error){
			"connection refused": refusedDial, "packets dropped": droppedDial, "connection reset": reset,
			"a mesh's 503": answer(503, "upstream connect error"), "starting": answer(500, ""),
		} {
			for _, late := range []time.Duration{15 * time.Second, 70 * time.Second} {
				inBubble(t, fmt.Sprint(source, ", ", name, " for ", late), env, func(t *testing.T) {
					cred := credential(t, lateBy(late, meanwhile))
					require.Equal(t, source, cred.Source())
					_, err := token(t.Context(), cred)
					require.NoError(t, err)
				})
			}
		}
	}
}

// TestStoppedArcAgentIsUnavailable checks that a chain can continue within seconds, unlike with the other
// known hosts.
func TestStoppedArcAgentIsUnavailable(t *testing.T) {
	inBubble(t, "connection refused", nil, func(t *testing.T) {
		start := time.Now()
		w := always(refusedDial)
		cred, err := azhost.NewManagedIdentityCredential(arcOptions(w, t.TempDir()))
		require.NoError(t, err)
		_, err = token(t.Context(), cred)
		requireUnavailable(t, err)
		require.Less(t, time.Since(start), 20*time.Second)
	})
}

// TestSlowHostWithShortTimeouts checks that a request continues if its caller times out, so that the next
// caller gets the token of a host that is slower than every caller's timeout.
func TestSlowHostWithShortTimeouts(t *testing.T) {
	type fake interface {
		InMemory() *azhost.ManagedIdentityCredentialOptions
		SetLatency(time.Duration)
		RequireTokens(testing.TB, int)
	}
	for name, newHost := range map[string]func(*testing.T) fake{
		"a VM":          func(t *testing.T) fake { return azhosttest.NewVM(t) },
		"an Arc server": func(t *testing.T) fake { return azhosttest.NewArc(t) },
		"a Cloud Shell": func(t *testing.T) fake { return azhosttest.NewCloudShell(t) },
	} {
		for _, times := range []struct{ takes, timeout time.Duration }{
			{12 * time.Second, 10 * time.Second}, {20500 * time.Millisecond, time.Second}, {55 * time.Second, 15 * time.Second},
		} {
			inBubble(t, fmt.Sprintf("%s takes %s and callers wait %s", name, times.takes, times.timeout), nil, func(t *testing.T) {
				host := newHost(t)
				host.SetLatency(times.takes)
				if _, ok := host.(*azhosttest.Arc); ok {
					host.SetLatency(times.takes / 2) // for each of the two requests
				}
				cred, err := azhost.NewManagedIdentityCredential(host.InMemory())
				require.NoError(t, err)
				start := time.Now()
				failed := 0
				for {
					ctx, cancel := context.WithTimeout(t.Context(), times.timeout)
					_, err := token(ctx, cred)
					cancel()
					if err == nil {
						break
					}
					require.ErrorIs(t, err, context.DeadlineExceeded)
					failed++
				}
				require.Equal(t, int(times.takes/times.timeout), failed)
				require.Equal(t, times.takes, time.Since(start))
				host.RequireTokens(t, 1)
			})
		}
	}
}

// TestManyResourcesAreNotThrottled checks that requests for many resources are limited by rate as well, and
// take about five seconds.
func TestManyResourcesAreNotThrottled(t *testing.T) {
	for _, test := range []struct {
		credentials, resources int
		latency                time.Duration
	}{{1, 100, 0}, {1, 100, 100 * time.Millisecond}, {50, 2, 10 * time.Millisecond}, {20, 20, 150 * time.Millisecond}} {
		inBubble(t, fmt.Sprintf("%d credentials, %d resources, %s", test.credentials, test.resources, test.latency), nil, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			vm.Throttle(20, 5)
			vm.SetLatency(test.latency)
			start := time.Now()
			var all sync.WaitGroup
			for n := range test.credentials {
				o := vm.InMemory()
				o.ID = azhost.ClientID(azhosttest.UserAssigned(fmt.Sprint(n)).ClientID)
				if test.credentials == 1 {
					o.ID = nil
				}
				vm.SetIdentities(identities(test.credentials)...)
				cred, err := azhost.NewManagedIdentityCredential(o)
				require.NoError(t, err)
				for r := range test.resources {
					all.Go(func() {
						_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{fmt.Sprint("https://r", r)}})
						require.NoError(t, err)
					})
				}
			}
			all.Wait()
			took := time.Since(start)
			for _, r := range vm.Requests() {
				require.NotEqual(t, http.StatusTooManyRequests, r.Status)
			}
			n := test.credentials * test.resources
			vm.RequireRequests(t, n)
			least := max(time.Duration(n/20)*time.Second, time.Duration(n/4)*test.latency)
			require.Less(t, took, least*3/2+2*time.Second)
		})
	}
}

func identities(n int) []azhosttest.Identity {
	ids := []azhosttest.Identity{azhosttest.SystemAssigned()}
	for i := range n {
		ids = append(ids, azhosttest.UserAssigned(fmt.Sprint(i)))
	}
	return ids
}

// TestExhaustedProcessIsNotUnavailable checks that a chain doesn't continue because this process has no
// file descriptors left.
func TestExhaustedProcessIsNotUnavailable(t *testing.T) {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.EADDRNOTAVAIL,
		10024, 10048, 10055, // Windows: WSAEMFILE, WSAEADDRINUSE, WSAENOBUFS
	} {
		inBubble(t, fmt.Sprint(int(errno)), nil, func(t *testing.T) {
			_, err := token(t.Context(), onVM(t, always(func(*http.Request) (*http.Response, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", errno)}
			})))
			requireFailed(t, err)
			require.ErrorIs(t, err, errno)
			require.NotContains(t, err.Error(), "isn't an Azure VM")
		})
	}
	inBubble(t, "an address that Windows can't dial", nil, func(t *testing.T) { // WSAEADDRNOTAVAIL, such as port 0
		_, err := token(t.Context(), onVM(t, always(func(*http.Request) (*http.Response, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connectex", syscall.Errno(10049))}
		})))
		requireUnavailable(t, err)
	})
}

// TestSourceUsesSeparateRequest checks that a credential with Source waits for IMDS, whatever another
// credential with the same Transport is doing.
func TestSourceUsesSeparateRequest(t *testing.T) {
	inBubble(t, "", nil, func(t *testing.T) {
		start := time.Now()
		imds := always(func(req *http.Request) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			if time.Since(start) < 3*time.Second {
				return refusedDial(req)
			}
			return goodToken(req)
		})
		impatient := credential(t, imds)
		patient := credential(t, imds, func(o *azhost.ManagedIdentityCredentialOptions) { o.Source = azhost.SourceIMDS })
		var both sync.WaitGroup
		both.Go(func() {
			_, err := token(t.Context(), impatient)
			requireUnavailable(t, err)
		})
		synctest.Wait()
		both.Go(func() {
			_, err := token(t.Context(), patient)
			require.NoError(t, err)
		})
		both.Wait()
	})
}
