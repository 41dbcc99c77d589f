// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhostotel exports OpenTelemetry metrics of azhost's credentials.
//
//	metrics, err := azhostotel.New(nil) // the global MeterProvider
//	if err != nil {
//		return err
//	}
//	cred, err := azhost.NewManagedIdentityCredential(&azhost.ManagedIdentityCredentialOptions{
//		Observe: metrics.Observe,
//	})
//	if err != nil {
//		return err
//	}
//	if _, err := metrics.Register(cred); err != nil {
//		return err
//	}
//
// # Metrics
//
//	azhost.token.remaining         gauge, s            time until the cached token expires
//	azhost.token.requests          counter, {request}  finished token requests
//	azhost.token.request.duration  histogram, s        duration of these requests
//
// The gauge is 0 if requests have failed and there is no valid token. It isn't reported for a token that
// expired because the program no longer requests it. In the counter and the histogram, each request
// counts once, no matter how many attempts it takes and how many callers wait for it. Calls to GetToken
// that return a cached token don't count, and metrics don't slow them down.
//
// # Attributes
//
//	azhost.source      the host, such as IMDS or AzureArc
//	azhost.resource    gauge only: the resource, such as https://vault.azure.net
//	azhost.background  counter and histogram: true for a background refresh
//	azhost.outcome     counter and histogram: success, failure, or unavailable
//	error.type         counter and histogram, unless successful: the status of the host's last response,
//	                   such as 429, or else timeout, canceled, or _OTHER
//
// The outcome is unavailable if the error is a [*azhost.CredentialUnavailableError].
//
// # Cardinality
//
// The counter and the histogram have only a few series, no matter how many resources the program uses.
// The gauge has one series for each resource that [azhost.ManagedIdentityCredential.Health] lists,
// which usually means one for each Azure service that the program uses. If a program takes scopes from
// its input, there can be many more. By default, the SDK limits each instrument to 2,000 series. If
// your program has many resources, don't call Register: only the gauge needs it.
//
// # Prometheus
//
// With OpenTelemetry's Prometheus exporter, the metrics are azhost_token_remaining_seconds,
// azhost_token_requests_total, and azhost_token_request_duration_seconds, and the attributes are the
// labels azhost_source, error_type, and so on. The service in examples/service, in the azhost
// repository, exports them that way.
package azhostotel
