// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhostotel reports what azhost's credentials do as OpenTelemetry metrics.
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
//	azhost.token.requests          counter, {request}  finished requests for a token
//	azhost.token.request.duration  histogram, s        how long they took
//
// The gauge is 0 if requests have failed and there is no valid token. It isn't reported for a token that
// has expired because the program has stopped asking for it. The counter and the histogram count a
// request once, whatever the number of its attempts and of the callers who waited for it. Calls of
// GetToken that find a token in the cache aren't counted and cost nothing more than without metrics.
//
// # Attributes
//
//	azhost.source      the host, such as IMDS or AzureArc
//	azhost.resource    gauge only: the resource, such as https://vault.azure.net
//	azhost.background  counter and histogram: true for a refresh that no caller waited for
//	azhost.outcome     counter and histogram: success, failure, or unavailable
//	error.type         counter and histogram, unless successful: the status of the host's last response,
//	                   such as 429, or else timeout, canceled, or _OTHER
//
// The outcome is unavailable if the error is a [*azhost.CredentialUnavailableError].
//
// # Cardinality
//
// The attributes of the counter and the histogram have a few values each, whatever the program asks for.
// The gauge has one series for each resource that [azhost.ManagedIdentityCredential.Health] lists. That
// is one for each Azure service that the program uses, unless it takes scopes from its input. The SDK
// stops at 2,000 series for each instrument by default. If the program has many resources, don't
// register its credential: the counter and the histogram don't need it.
//
// # Prometheus
//
// With OpenTelemetry's Prometheus exporter, the metrics are azhost_token_remaining_seconds,
// azhost_token_requests_total, and azhost_token_request_duration_seconds, and the attributes are the
// labels azhost_source, error_type, and so on. The example service in the azhost repository, in
// examples/service, exports them that way.
package azhostotel
