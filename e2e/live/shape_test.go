// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShape(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{"", "empty"},
		{"<html>", "not JSON"},
		{"null", "null"},
		{`{"b":"x","a":1}`, "{a: number, b: string}"},
		{`{"expires_in":"86399"}`, "{expires_in: string of digits}"},
		{`{"error":{"code":"x","inner":true}}`, "{error: {code: string, inner: boolean}}"},
		{`{"error_codes":[404,500,"x"]}`, "{error_codes: [number or string]}"},
		{`{"7b0c5a5e-1e8a-4c38-9d37-000000000000":1}`, "{(other): number}"},
	} {
		t.Run(test.body, func(t *testing.T) {
			require.Equal(t, test.want, shape([]byte(test.body)))
		})
	}
}

func TestHeaders(t *testing.T) {
	require.Equal(t, "(other), Date, Server", headers(http.Header{"Server": {"x"}, "Date": {"y"}, "X-7b0c5a5e": {"z"}}))
}

func TestAgent(t *testing.T) {
	for server, want := range map[string]string{
		"IMDS/150.870.65.1854": "IMDS/150.870.65.1854",
		"Microsoft-IIS/10.0":   "Microsoft-IIS/10.0",
		"web-of-contoso":       "",
		"proxy/1.2 host7":      "",
		"":                     "",
	} {
		require.Equal(t, want, agent(t.Context(), "IMDS", server), server)
	}
}
