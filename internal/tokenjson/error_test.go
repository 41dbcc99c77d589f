// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"runtime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

var errorBodies = []string{
	`{"error":"invalid_request","error_description":"Identity not found"}`,
	`{"error":"invalid_resource","error_description":"AADSTS50001: The resource is disabled.\r\nTrace ID: 0f8fad5b-d9cb-469f-a165-70867728950e\r\nCorrelation ID: 7c9e6679-7425-40de-944b-e07fc1f90ae7\r\nTimestamp: 2023-01-06 12:38:13Z"}`,
	`{"error":"Bad request. api-version is invalid or was not specified in the request.","newest-versions":["2023-11-15","2021-12-13"]}`,
	`{"error":"identity_not_found","error_description":"Identity not found: x","error_codes":[404]}`,
	`{"error":{"correlationId":"0","code":"ManagedIdentityNotFound","message":"No identity."}}`,
	`{"error":{"code":"AudienceNotSupported","message":"Audience x is not a supported MSI token audience."}}`,
	`{"code":"400","message":"Bad request"}`,
	`{"statusCode":500,"message":"No User Assigned identity found","correlationId":"7c9e6679-7425-40de-944b-e07fc1f90ae7"}`,
	"\x00\xff{\"error\":\"\\u0007\xc3\\ud800\"}",
}

func TestParseError(t *testing.T) {
	for _, row := range []struct {
		name, body string
		want       Error
	}{
		{"IMDS", errorBodies[0], Error{Code: "invalid_request", Description: "Identity not found"}},
		{"Microsoft Entra's trailer", errorBodies[1], Error{Code: "invalid_resource", Description: "AADSTS50001: The resource is disabled. Trace ID: 0f8fad5b-d9cb-469f-a165-70867728950e Correlation ID: 7c9e6679-7425-40de-944b-e07fc1f90ae7 Timestamp: 2023-01-06 12:38:13Z"}},
		{"api-version", errorBodies[2], Error{Code: "Bad request. api-version is invalid or was not specified in the request.", NewestVersions: true}},
		{"Azure Arc", errorBodies[3], Error{Code: "identity_not_found", Description: "Identity not found: x"}},
		{"Service Fabric", errorBodies[4], Error{Code: "ManagedIdentityNotFound", Description: "No identity."}},
		{"Cloud Shell", errorBodies[5], Error{Code: "AudienceNotSupported", Description: "Audience x is not a supported MSI token audience."}},
		{"schema of IMDS", errorBodies[6], Error{Code: "400", Description: "Bad request"}},
		{"App Service", errorBodies[7], Error{Description: "No User Assigned identity found"}},
		{"statusCode as string", `{"statusCode":"400","message":"m"}`, Error{Description: "m"}},
		{"App Service, capitals", `{"StatusCode":400,"Message":"m"}`, Error{Description: "m"}},
		{"text of a proxy or sidecar", `{"error":"failed to get token: AADSTS70021: No match.\r\nTrace ID: t1\r\nTimestamp: 2023-01-06 12:38:13Z"}`,
			Error{Description: "failed to get token: AADSTS70021: No match. Trace ID: t1 Timestamp: 2023-01-06 12:38:13Z"}},
		{"error alone", `{"error":"x"}`, Error{Code: "x"}},
		{"description alone", `{"error":"","error_description":"y"}`, Error{Description: "y"}},
		{"description of another type", `{"error":"x","error_description":[1]}`, Error{Code: "x"}},
		{"description null", `{"error":"x","error_description":null}`, Error{Code: "x"}},
		{"error and message", `{"error":"x","message":"m"}`, Error{Code: "x", Description: "m"}},
		{"description before message", `{"error":"x","error_description":"y","message":"m"}`, Error{Code: "x", Description: "y"}},
		{"newest-versions not a list", `{"error":"x","newest-versions":"2023"}`, Error{Code: "x"}},
		{"newest-versions empty", `{"error":"x","newest-versions":[]}`, Error{Code: "x", NewestVersions: true}},
		{"inner code alone", `{"error":{"code":"x"}}`, Error{Code: "x"}},
		{"error null", `{"error":null,"code":"x","message":"y"}`, Error{Code: "x", Description: "y"}},
		{"blanks around", " \r\n{\"error\":\"x\"}\n", Error{Code: "x"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, ok := ParseError([]byte(row.body))
			require.True(t, ok)
			require.Equal(t, row.want, got)
		})
	}
}

func TestParseErrorForeignShape(t *testing.T) {
	for _, row := range []struct{ name, body string }{
		{"nothing", ""},
		{"text", "Bad Gateway"},
		{"HTML", bodyHTML},
		{"null", "null"},
		{"array", `[{"error":"x"}]`},
		{"string", `"error"`},
		{"cut off", `{"error":"x"`},
		{"trailing garbage", `{"error":"x"} y`},
		{"empty object", `{}`},
		{"token", bodyVM},
		{"error null", `{"error":null}`},
		{"error a number", `{"error":404}`},
		{"error a list", `{"error":["x"]}`},
		{"error blank", `{"error":" \n"}`},
		{"error without a printable character", `{"error":"\u0000\u202e"}`},
		{"inner object empty", `{"error":{}}`},
		{"inner message alone", `{"error":{"message":"y"}}`},
		{"inner code a number", `{"error":{"code":403,"message":"y"}}`},
		{"message alone", `{"message":"Forbidden"}`},
		{"code alone", `{"code":"x"}`},
		{"code a number", `{"code":400,"message":"y"}`},
		{"statusCode alone", `{"statusCode":400}`},
		{"statusCode null", `{"statusCode":null,"message":"y"}`},
		{"description without error", `{"error_description":"y"}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, ok := ParseError([]byte(row.body))
			require.False(t, ok)
			require.Zero(t, got)
		})
	}
}

func TestParseErrorText(t *testing.T) {
	for _, row := range []struct{ name, value, want string }{
		{"long", strings.Repeat("c", 4096), strings.Repeat("c", 4096)},
		{"blanks within and around", ` \t a\r\n\r\nb\u2028c `, "a b c"},
		{"control characters", `a\u0000\u001b[31mb\u007f\u0085c`, "a[31mb c"},
		{"direction and zero width", `a\u202eb\u200bc\ufeff`, "abc"},
		{"quotes stay", `say \"x\" <b>`, `say "x" <b>`},
		{"lone surrogate", `a\ud800b`, "a\ufffdb"},
		{"not UTF-8", "a\xffb", "a\ufffdb"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, ok := ParseError([]byte(`{"error":"` + row.value + `","error_description":"d"}`))
			require.True(t, ok)
			require.Equal(t, row.want, got.Code)
		})
	}
}

// TestIDs checks that the IDs that support asks for are found, whatever the form of the error.
func TestIDs(t *testing.T) {
	for _, row := range []struct {
		name, body string
		want       []ID
	}{
		{"App Service", `{"statusCode":400,"message":"m","correlationId":"c"}`, []ID{{"correlationId", "c"}}},
		{"capitals", `{"StatusCode":400,"Message":"m","CorrelationId":"c"}`, []ID{{"CorrelationId", "c"}}},
		{"Service Fabric", `{"error":{"correlationId":"inner","code":"x"},"correlationId":"outer"}`, []ID{{"correlationId", "inner"}, {"correlationId", "outer"}}},
		{"Microsoft Entra ID", `{"error":"x","error_description":"y","trace_id":"t","correlation_id":"c"}`, []ID{{"correlation_id", "c"}, {"trace_id", "t"}}},
		{"no known form", `{"detail":"x","requestId":"r","activityId":"a"}`, []ID{{"activityId", "a"}, {"requestId", "r"}}},
		{"inner message alone", `{"error":{"message":"x","request-id":"r"}}`, []ID{{"request-id", "r"}}},
		{"names of headers", `{"x-ms-request-id":"r","x-ms-correlation-request-id":"c"}`, []ID{{"x-ms-correlation-request-id", "c"}, {"x-ms-request-id", "r"}}},
		{"another type", `{"correlationId":[1],"requestId":7}`, nil},
		{"IDs of the identity", `{"client_id":"c","tenantId":"t","resource_id":"r"}`, nil},
		{"no object", `["correlationId"]`, nil},
	} {
		t.Run(row.name, func(t *testing.T) { require.Equal(t, row.want, IDs([]byte(row.body))) })
	}
}

// An impostor may send the largest body that the caller reads.
func TestLargeBodyIsCheap(t *testing.T) {
	const size = 1 << 20
	for _, row := range []struct{ name, body string }{
		{"long error", `{"error":"` + strings.Repeat("x", size) + `"}`},
		{"long description", `{"error":"x","error_description":"` + strings.Repeat("Trace ID: x ", size/12) + `"}`},
		{"long token", `{"access_token":"` + strings.Repeat("x", size) + `"}`},
		{"many fields", `{` + strings.Repeat(`"error":"x",`, size/12) + `"error":"x"}`},
		{"many elements", `{"error":"x","a":[` + strings.Repeat(`1,`, size/2) + `1]}`},
	} {
		t.Run(row.name, func(t *testing.T) {
			body := []byte(row.body)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ParseError(body)
			IsToken(body)
			IDs(body)
			Text(string(body), 1024)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8*size))
		})
	}
}

func FuzzParseError(f *testing.F) {
	for _, body := range append(errorBodies, bodies...) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := ParseError(body)
		if ok {
			require.NotEmpty(t, got.Code+got.Description)
		}
		text, trailer := Text(string(body), 1024)
		require.LessOrEqual(t, max(len(text), len(trailer)), 1024+len("…"))
		for _, s := range []string{got.Code, got.Description, text, trailer} {
			require.True(t, utf8.ValidString(s))
			require.Equal(t, -1, strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }))
			require.Equal(t, strings.TrimSpace(s), s)
		}
	})
}
