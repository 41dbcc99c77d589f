// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostotel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhostotel"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
)

const vault = "https://vault.azure.net"

// rig is a credential of a fake VM whose metrics a test reads.
type rig struct {
	t       *testing.T
	reader  *sdk.ManualReader
	metrics *azhostotel.Metrics
}

func newRig(t *testing.T) *rig {
	reader := sdk.NewManualReader()
	metrics, err := azhostotel.New(sdk.NewMeterProvider(sdk.WithReader(reader)))
	require.NoError(t, err)
	return &rig{t, reader, metrics}
}

func (r *rig) newCredential(options *azhost.ManagedIdentityCredentialOptions) *azhost.ManagedIdentityCredential {
	options.Observe = r.metrics.Observe
	cred, err := azhost.NewManagedIdentityCredential(options)
	require.NoError(r.t, err)
	return cred
}

// collect returns the metrics by name.
func (r *rig) collect() map[string]metricdata.Metrics {
	r.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(r.t, r.reader.Collect(r.t.Context(), &all))
	metrics := map[string]metricdata.Metrics{}
	for _, scope := range all.ScopeMetrics {
		require.Equal(r.t, "github.com/azhost/azhost/azhostotel", scope.Scope.Name)
		for _, m := range scope.Metrics {
			metrics[m.Name] = m
		}
	}
	return metrics
}

// remaining returns the gauge's values in seconds by their attributes.
func (r *rig) remaining() map[attribute.Set]float64 {
	r.t.Helper()
	values := map[attribute.Set]float64{}
	if m, ok := r.collect()["azhost.token.remaining"]; ok {
		for _, point := range m.Data.(metricdata.Gauge[float64]).DataPoints {
			values[point.Attributes] = point.Value
		}
	}
	return values
}

func getToken(ctx context.Context, cred *azhost.ManagedIdentityCredential) error {
	_, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{vault + "/.default"}})
	return err
}

func set(attributes ...attribute.KeyValue) attribute.Set { return attribute.NewSet(attributes...) }

var imds = attribute.String("azhost.source", "IMDS")

// One request of each kind is one count and one duration: a first token, a refresh that succeeds,
// a refresh that fails, and a call that fails.
func TestRequestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, vm := newRig(t), azhosttest.NewVM(t)
		vm.SetLatency(3 * time.Second)
		cred := r.newCredential(vm.InMemory())

		require.NoError(t, getToken(t.Context(), cred))
		for range 100 {
			require.NoError(t, getToken(t.Context(), cred)) // cached, and so not counted
		}
		time.Sleep(13 * time.Hour)
		require.NoError(t, getToken(t.Context(), cred))
		time.Sleep(13 * time.Hour)
		vm.FailUntil(time.Now().Add(time.Hour), azhosttest.Denied())
		require.NoError(t, getToken(t.Context(), cred))
		time.Sleep(30 * time.Minute)
		cred.Invalidate(cachedToken(t, cred))
		time.Sleep(10 * time.Minute)
		require.Error(t, getToken(t.Context(), cred))
		synctest.Wait()

		points := []struct {
			count      int64
			attributes attribute.Set
		}{
			{1, set(imds, attribute.Bool("azhost.background", false), attribute.String("azhost.outcome", "success"))},
			{1, set(imds, attribute.Bool("azhost.background", true), attribute.String("azhost.outcome", "success"))},
			{2, set(imds, attribute.Bool("azhost.background", true), attribute.String("azhost.outcome", "failure"), attribute.String("error.type", "403"))},
			{1, set(imds, attribute.Bool("azhost.background", false), attribute.String("azhost.outcome", "failure"), attribute.String("error.type", "403"))},
		}
		requests := metricdata.Sum[int64]{Temporality: metricdata.CumulativeTemporality, IsMonotonic: true}
		durations := metricdata.Histogram[float64]{Temporality: metricdata.CumulativeTemporality}
		for _, p := range points {
			requests.DataPoints = append(requests.DataPoints, metricdata.DataPoint[int64]{Attributes: p.attributes, Value: p.count})
			d := metricdata.HistogramDataPoint[float64]{
				Attributes: p.attributes, Count: uint64(p.count), Sum: 3 * float64(p.count),
				Min: metricdata.NewExtrema(3.0), Max: metricdata.NewExtrema(3.0),
				Bounds:       []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 180},
				BucketCounts: make([]uint64, 16),
			}
			d.BucketCounts[9] = uint64(p.count) // 2.5 s to 5 s
			durations.DataPoints = append(durations.DataPoints, d)
		}
		got := r.collect()
		metricdatatest.AssertEqual(t, metricdata.Metrics{
			Name: "azhost.token.requests", Unit: "{request}", Data: requests,
			Description: "Finished token requests, not counting retries.",
		}, got["azhost.token.requests"], metricdatatest.IgnoreTimestamp())
		metricdatatest.AssertEqual(t, metricdata.Metrics{
			Name: "azhost.token.request.duration", Unit: "s", Data: durations,
			Description: "Duration of token requests, including retries and the pauses between them.",
		}, got["azhost.token.request.duration"], metricdatatest.IgnoreTimestamp())
	})
}

func cachedToken(t *testing.T, cred *azhost.ManagedIdentityCredential) string {
	token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{vault + "/.default"}})
	require.NoError(t, err)
	return token.Token
}

// The gauge falls with time, is 0 in an outage without a valid token, recovers, and disappears when the
// token is no longer used.
func TestRemainingGauge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, vm := newRig(t), azhosttest.NewVM(t)
		cred := r.newCredential(vm.InMemory())
		_, err := r.metrics.Register(cred)
		require.NoError(t, err)
		series := set(imds, attribute.String("azhost.resource", vault))
		require.Empty(t, r.remaining(), "no token was requested")

		require.NoError(t, getToken(t.Context(), cred))
		require.Equal(t, map[attribute.Set]float64{series: 24 * 3600}, r.remaining())
		time.Sleep(time.Hour)
		require.Equal(t, map[attribute.Set]float64{series: 23 * 3600}, r.remaining())

		vm.FailUntil(time.Now().Add(24*time.Hour), azhosttest.Denied())
		time.Sleep(23 * time.Hour)
		require.Empty(t, r.remaining(), "the program was idle")
		require.Error(t, getToken(t.Context(), cred))
		require.Equal(t, map[attribute.Set]float64{series: 0}, r.remaining())

		time.Sleep(time.Hour)
		require.NoError(t, getToken(t.Context(), cred))
		require.Equal(t, map[attribute.Set]float64{series: 24 * 3600}, r.remaining())
		require.Equal(t, "s", r.collect()["azhost.token.remaining"].Unit)
		require.Equal(t, "Time until the cached token expires.", r.collect()["azhost.token.remaining"].Description)
	})
}

func TestUnregister(t *testing.T) {
	r, vm := newRig(t), azhosttest.NewVM(t)
	cred := r.newCredential(vm.InMemory())
	registration, err := r.metrics.Register(cred)
	require.NoError(t, err)
	require.NoError(t, getToken(t.Context(), cred))
	require.Len(t, r.remaining(), 1)
	require.NoError(t, registration.Unregister())
	require.Empty(t, r.remaining())
}

// The caller's attribute distinguishes credentials for several identities.
func TestIdentityAttribute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, vm := newRig(t), azhosttest.NewVM(t)
		vm.SetIdentities(azhosttest.UserAssigned("reports"), azhosttest.UserAssigned("orders"))
		want := map[attribute.Set]float64{}
		for i, name := range []string{"reports", "orders"} {
			options := vm.InMemory()
			options.ID = azhost.ClientID(azhosttest.UserAssigned(name).ClientID)
			cred := r.newCredential(options)
			identity := attribute.String("identity", name)
			_, err := r.metrics.Register(cred, identity)
			require.NoError(t, err)
			vm.SetTokenLifetime(time.Duration(i+1) * time.Hour)
			require.NoError(t, getToken(t.Context(), cred))
			want[set(imds, attribute.String("azhost.resource", vault), identity)] = float64(i+1) * 3600
		}
		require.Equal(t, want, r.remaining())
	})
}

func TestErrorType(t *testing.T) {
	response := func(status int) *http.Response { return &http.Response{StatusCode: status} }
	for _, test := range []struct {
		name    string
		err     error
		outcome string
		want    string
	}{
		{"no identity", &azhost.CredentialUnavailableError{RawResponse: response(400)}, "unavailable", "400"},
		{"connection refused", &azhost.CredentialUnavailableError{}, "unavailable", "_OTHER"},
		{"throttled", &azhost.AuthenticationFailedError{RawResponse: response(429)}, "failure", "429"},
		{"redirect", &azhost.AuthenticationFailedError{RawResponse: response(302)}, "failure", "302"},
		{"a success that can't be read", &azhost.AuthenticationFailedError{RawResponse: response(200)}, "failure", "_OTHER"},
		{"a status that HTTP doesn't have", &azhost.AuthenticationFailedError{RawResponse: response(999)}, "failure", "_OTHER"},
		{"no response in time", fmt.Errorf("wrapped: %w", context.DeadlineExceeded), "failure", "timeout"},
		{"no caller left", context.Canceled, "failure", "canceled"},
		{"anything else", errors.New("a policy's error"), "failure", "_OTHER"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.metrics.Observe(azhost.Event{Source: azhost.SourceAzureArc, Err: test.err})
			points := r.collect()["azhost.token.requests"].Data.(metricdata.Sum[int64]).DataPoints
			require.Len(t, points, 1)
			require.Equal(t, set(
				attribute.String("azhost.source", "AzureArc"), attribute.Bool("azhost.background", false),
				attribute.String("azhost.outcome", test.outcome), attribute.String("error.type", test.want),
			), points[0].Attributes)
		})
	}
}

func TestNilProviderUsesGlobal(t *testing.T) {
	before := otel.GetMeterProvider()
	defer otel.SetMeterProvider(before)
	r := &rig{t: t, reader: sdk.NewManualReader()}
	otel.SetMeterProvider(sdk.NewMeterProvider(sdk.WithReader(r.reader)))
	metrics, err := azhostotel.New(nil)
	require.NoError(t, err)
	metrics.Observe(azhost.Event{})
	require.Contains(t, r.collect(), "azhost.token.requests")
}
