// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostotel

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/azhost/azhost"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Metrics records what credentials do. Make one with [New]; one is enough for all credentials of a
// program. It is safe for concurrent use.
type Metrics struct {
	meter     metric.Meter
	remaining metric.Float64ObservableGauge
	requests  metric.Int64Counter
	duration  metric.Float64Histogram
}

// buckets are the histogram's boundaries in seconds. A healthy host responds in milliseconds, IMDS's
// retries take about 100 s, and no request takes longer than three minutes.
var buckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 180}

// New returns metrics with the instruments of provider, or of [otel.GetMeterProvider] if provider is
// nil. It fails only if the provider can't create an instrument.
func New(provider metric.MeterProvider) (*Metrics, error) {
	if provider == nil {
		provider = otel.GetMeterProvider()
	}
	m := &Metrics{meter: provider.Meter("github.com/azhost/azhost/azhostotel")}
	var errs [3]error
	m.remaining, errs[0] = m.meter.Float64ObservableGauge("azhost.token.remaining", metric.WithUnit("s"),
		metric.WithDescription("Time until the cached token expires."))
	m.requests, errs[1] = m.meter.Int64Counter("azhost.token.requests", metric.WithUnit("{request}"),
		metric.WithDescription("Finished token requests, not counting retries."))
	m.duration, errs[2] = m.meter.Float64Histogram("azhost.token.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of token requests, including retries and the pauses between them."),
		metric.WithExplicitBucketBoundaries(buckets...))
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return m, nil
}

// Observe counts a request. Set it as the credential's Observe option.
func (m *Metrics) Observe(e azhost.Event) {
	attributes := []attribute.KeyValue{
		attribute.String("azhost.source", string(e.Source)),
		attribute.Bool("azhost.background", e.Background),
		attribute.String("azhost.outcome", outcome(e.Err)),
	}
	if e.Err != nil {
		attributes = append(attributes, attribute.String("error.type", errorType(e.Err)))
	}
	set := metric.WithAttributeSet(attribute.NewSet(attributes...))
	m.requests.Add(context.Background(), 1, set)
	m.duration.Record(context.Background(), e.Duration.Seconds(), set)
}

// Register reports the remaining time of cred's tokens at every collection, until the registration
// is unregistered. Register a credential once. If a program has credentials for several identities, give
// each registration a different attribute. Otherwise, their tokens for the same resource share one
// series.
func (m *Metrics) Register(cred *azhost.ManagedIdentityCredential, attributes ...attribute.KeyValue) (metric.Registration, error) {
	attributes = append([]attribute.KeyValue{attribute.String("azhost.source", string(cred.Source()))}, attributes...)
	return m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := time.Now()
		for h := range cred.Health() {
			remaining := max(h.ExpiresOn.Sub(now), 0)
			if remaining == 0 && h.Err == nil { // idle: not requested since the token expired
				continue
			}
			o.ObserveFloat64(m.remaining, remaining.Seconds(), metric.WithAttributes(attributes...),
				metric.WithAttributes(attribute.String("azhost.resource", h.Resource)))
		}
		return nil
	}, m.remaining)
}

// outcome returns the value of azhost.outcome.
func outcome(err error) string {
	if err == nil {
		return "success"
	}
	if _, ok := errors.AsType[*azhost.CredentialUnavailableError](err); ok {
		return "unavailable"
	}
	return "failure"
}

// errorType returns the value of error.type: the status of the host's last response, or why there was none.
func errorType(err error) string {
	status := 0
	if e, ok := errors.AsType[*azhost.CredentialUnavailableError](err); ok && e.RawResponse != nil {
		status = e.RawResponse.StatusCode
	}
	if e, ok := errors.AsType[*azhost.AuthenticationFailedError](err); ok && e.RawResponse != nil {
		status = e.RawResponse.StatusCode
	}
	switch {
	case status >= 300 && status < 600:
		return strconv.Itoa(status)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	}
	return "_OTHER"
}
