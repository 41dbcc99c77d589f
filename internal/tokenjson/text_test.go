// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestText(t *testing.T) {
	for _, row := range []struct {
		name, body, want string
		limit            int
	}{
		{"empty", "", "", 9},
		{"white space", " \r\n\t", "", 9},
		{"text", "connecting to 169.254.169.254:80: unreachable network.\r\n", "connecting to 169.254.169.254:80: unreachable network.", 99},
		{"HTML", "<html>\n  <body>\n\t<h1>502 Bad Gateway</h1>", "<html> <body> <h1>502 Bad Gateway</h1>", 99},
		{"control characters", "a\x00b\x1b[31m\u202ec", "ab[31mc", 99},
		{"not UTF-8", "a\xffb", "a\ufffdb", 99},
		{"byte order mark", "\ufefftext", "text", 99},
		{"limit", "123456789", "123456789", 9},
		{"over the limit", "123456789 0", "123456789…", 9},
		{"trailer", "denied. Trace ID: 1\r\nTimestamp: 2023-01-06 12:38:13Z", "denied.", 9},
	} {
		t.Run(row.name, func(t *testing.T) {
			text, trailer := Text(row.body, row.limit)
			require.Equal(t, row.want, text)
			require.Equal(t, row.name == "trailer", trailer != "")
		})
	}
}

// TestTrailer checks that the same failure has the same text, whatever Entra adds to it.
func TestTrailer(t *testing.T) {
	const (
		text  = "AADSTS700016: Application with identifier '0f8fad5b-d9cb-469f-a165-70867728950e' was not found."
		trace = "Trace ID: 7c9e6679-7425-40de-944b-e07fc1f90ae7"
		corr  = "Correlation ID: 9b2f6a10-3c1d-4e5f-8a7b-0c1d2e3f4a5b"
		at    = "Timestamp: 2023-01-06 12:38:13Z"
		all   = trace + " " + corr + " " + at
	)
	for _, row := range []struct{ name, in, want, cut string }{
		{"none", text, text, ""},
		{"spaces", text + " " + all, text, all},
		{"line breaks", text + "\r\n" + trace + "\r\n" + corr + "\r\n" + at, text, all},
		{"escaped line breaks", text + `\r\n` + trace + `\r\n` + corr + `\r\n` + at + `\r\n`, text, `\r\n` + trace + `\r\n` + corr + `\r\n` + at + `\r\n`},
		{"nothing between", text + trace + corr + at, text, trace + corr + at},
		{"parentheses", text + " (" + all + ")", text, "(" + all + ")"},
		{"inside parentheses", "refused (" + text + " " + all + ")", "refused (" + text + ")", all},
		{"text after", text + " " + all + " Try again.", text + " Try again.", all},
		{"sentences", text + " " + trace + ". " + corr + ". " + at + ".", text, trace + ". " + corr + ". " + at + "."},
		{"commas", text + ", " + trace + ", " + corr, text, ", " + trace + ", " + corr},
		{"other case", text + " TRACE ID: 1 correlationid: 2 TimeStamp: 2023-01-06T12:38:13.123Z", text, "TRACE ID: 1 correlationid: 2 TimeStamp: 2023-01-06T12:38:13.123Z"},
		{"other order", text + " " + at + " " + trace, text, at + " " + trace},
		{"twice", text + " " + all + " Again: " + text + " " + all, text + " Again: " + text, all + " " + all},
		{"alone", all, "", all},
		{"time without a date", text + " Timestamp: none", text + " Timestamp: none", ""},
		{"other IDs", "client ID: 1, tenant ID: 2, object id: 3, resource ID: 4", "client ID: 1, tenant ID: 2, object id: 3, resource ID: 4", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, cut := Text(row.in, 1024)
			require.Equal(t, row.want, got)
			require.Equal(t, row.cut, strings.TrimSpace(cut))
		})
	}
	t.Run("past the limit", func(t *testing.T) {
		long := strings.Repeat("x", 1024)
		got, _ := Text(long+" "+all, 1024)
		require.Equal(t, long, got)
		got, _ = Text(long[:1000]+" "+all, 1024)
		require.Equal(t, long[:1000], got)
	})
}
