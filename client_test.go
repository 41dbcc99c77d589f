// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestRetryOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := always(answer(503, "", "Server: IMDS/1.0"))
		cred := onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.Retry = policy.RetryOptions{MaxRetries: 1, RetryDelay: time.Minute, MaxRetryDelay: time.Second}
		})
		start := time.Now()
		_, err := token(t.Context(), cred)
		requireFailed(t, err)
		require.Equal(t, 2, w.Requests())
		require.Equal(t, time.Second, time.Since(start))

		w = always(answer(503, "", "Server: IMDS/1.0"))
		_, err = token(t.Context(), onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.Retry.MaxRetries = -1 }))
		requireFailed(t, err)
		require.Equal(t, 1, w.Requests())

		w = always(answer(418, "", "Server: IMDS/1.0"))
		_, err = token(t.Context(), onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) {
			o.Retry.ShouldRetry = func(resp *http.Response, err error) bool { return resp.StatusCode == 418 }
		}))
		requireFailed(t, err)
		require.Equal(t, 6, w.Requests())
	})
}

func TestClientOptions(t *testing.T) {
	vm := azhosttest.NewVM(t)
	o := vm.InMemory()
	count := new(counter)
	o.PerCallPolicies = []policy.Policy{count}
	o.PerRetryPolicies = []policy.Policy{count}
	o.Telemetry.ApplicationID = "my-app"
	o.APIVersion = "1999-01-01" // has no effect
	o.Retry.MaxRetries = -1
	cred, err := azhost.NewManagedIdentityCredential(o)
	require.NoError(t, err)
	vm.Fail(azhosttest.Fault{Drop: true})
	_, err = token(t.Context(), cred)
	requireUnavailable(t, err)
	require.EqualValues(t, 2, count.n.Load())
	require.Equal(t, "1999-01-01", o.APIVersion, "the caller's options were changed")
	require.Regexp(t, `^my-app azsdk-go-azhost/v\d+\.\d+\.\d+ `, vm.Requests()[0].Header.Get("User-Agent"))
	require.Equal(t, []string{"2018-02-01"}, vm.Requests()[0].Query["api-version"])
}

type counter struct{ n atomic.Int32 }

func (c *counter) Do(req *policy.Request) (*http.Response, error) {
	c.n.Add(1)
	return req.Next()
}

// TestOptionsAreCopied checks that changing the slices of the options after construction has no effect.
func TestOptionsAreCopied(t *testing.T) {
	wrong := policyFunc(func(*policy.Request) (*http.Response, error) { panic("not this credential's") })
	inBubble(t, "changed after construction", nil, func(t *testing.T) {
		w := always(answer(418, "", "Server: IMDS/1.0"))
		var o *azhost.ManagedIdentityCredentialOptions
		cred := onVM(t, w, known, func(options *azhost.ManagedIdentityCredentialOptions) {
			o = options
			o.PerCallPolicies = slices.Grow([]policy.Policy{passOn{}}, 5)
			o.PerRetryPolicies = slices.Grow([]policy.Policy{passOn{}}, 5)
			o.Retry.StatusCodes = []int{418}
			o.Logging.AllowedHeaders = []string{"a"}
		})
		o.PerCallPolicies[0], o.PerRetryPolicies[0], o.Retry.StatusCodes[0], o.Logging.AllowedHeaders[0] = wrong, wrong, 1, "b"
		_, err := token(t.Context(), cred)
		require.ErrorContains(t, err, "418")
		require.Equal(t, 6, w.Requests())
	})
}

// detached is a policy that replaces the context of a request.
type detached struct{}

func (detached) Do(req *policy.Request) (*http.Response, error) {
	return req.WithContext(context.Background()).Next()
}

func TestPolicyReplacesContext(t *testing.T) {
	for name, set := range map[string]func(*azhost.ManagedIdentityCredentialOptions){
		"per call": func(o *azhost.ManagedIdentityCredentialOptions) { o.PerCallPolicies = []policy.Policy{detached{}} },
		"per try":  func(o *azhost.ManagedIdentityCredentialOptions) { o.PerRetryPolicies = []policy.Policy{detached{}} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm := azhosttest.NewVM(t)
				o := vm.InMemory()
				set(o)
				cred, err := azhost.NewManagedIdentityCredential(o)
				require.NoError(t, err)
				_, err = token(t.Context(), cred) // tells azhost that IMDS exists
				require.NoError(t, err)
				down := azhosttest.Fault{Status: http.StatusServiceUnavailable}
				vm.Fail(down, down)
				_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
				require.NoError(t, err)
				require.Len(t, vm.Requests(), 4)
			})
		})
	}
}

// TestAttemptEndsWithFlight checks that the last attempt of a flight isn't given its whole TryTimeout.
func TestAttemptEndsWithFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := always(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		start := time.Now()
		_, err := token(t.Context(), onVM(t, w, known))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Minute, time.Since(start))
	})
}

// TestLeaveQueue checks that a caller that leaves before its turn causes no attempt.
func TestLeaveQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := always(func(req *http.Request) (*http.Response, error) {
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		events := make(chan azhost.Event, 10)
		cred := onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.Observe = func(e azhost.Event) { events <- e } })
		for _, resource := range []string{"1", "2", "3", "4"} {
			go cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{resource}})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"5"}})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		e := <-events
		require.Equal(t, "5", e.Resource)
		require.Zero(t, e.Attempts)
		require.ErrorIs(t, e.Err, context.Canceled)
		require.Equal(t, 4, w.Requests())
		time.Sleep(time.Hour)
	})
}

// TestSingleAttemptLeavesOthersPatient checks that the failure of a credential that doesn't retry doesn't stop
// the retries of another one for the same endpoint.
func TestSingleAttemptLeavesOthersPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := always(answer(503, "", "Server: IMDS/1.0"))
		_, err := token(t.Context(), onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.Retry.MaxRetries = -1 }))
		requireFailed(t, err)
		_, err = token(t.Context(), onVM(t, w, known))
		requireFailed(t, err)
		require.Equal(t, 1+6, w.Requests())
	})
}

// TestPolicyResponds checks that a policy can respond itself, even with a response that names no request.
func TestPolicyResponds(t *testing.T) {
	for name, of := range map[string]*http.Request{"no request": nil, "a request without a URL": {}} {
		for _, perTry := range []bool{false, true} {
			respond := func(status int, body string) error {
				w := always(answer(500, "", ""))
				_, err := token(t.Context(), onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) {
					policies := []policy.Policy{policyFunc(func(*policy.Request) (*http.Response, error) {
						resp, err := answer(status, body, "Server: IMDS/1.0")(nil)
						resp.Request = of
						return resp, err
					})}
					if o.PerCallPolicies = policies; perTry {
						o.PerCallPolicies, o.PerRetryPolicies = nil, policies
					}
				}))
				return err
			}
			t.Run(fmt.Sprintf("%s, per try %v", name, perTry), func(t *testing.T) {
				require.NoError(t, respond(200, fmt.Sprintf(`{"access_token":"t","expires_on":%d}`, time.Now().Unix()+3600)))
				err := respond(400, `{"error":"invalid_request","error_description":"no"}`)
				require.ErrorContains(t, err, "GET http://169.254.169.254/metadata/identity/oauth2/token: 400 Bad Request: invalid_request: no")
			})
		}
	}
}

// TestThrottledRequestFailsAtOnce checks that a request during a pause that the host asked for isn't sent, and
// that its caller doesn't wait for the end of the pause.
func TestThrottledRequestFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := always(answer(429, "", "Server: IMDS/1.0", "Retry-After: 60"))
		cred := onVM(t, w, func(o *azhost.ManagedIdentityCredentialOptions) { o.Retry.MaxRetries = -1 })
		start := time.Now()
		for _, resource := range []string{"1", "2"} {
			_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{resource}})
			require.ErrorContains(t, err, "429 Too Many Requests")
		}
		require.Equal(t, 1, w.Requests())
		require.Equal(t, start, time.Now())
	})
}
