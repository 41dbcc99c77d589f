// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStaleTokenOfAGoBetween: a program in between repeats a cached answer, whose expires_in was true
// once. The token counts as expired when it is, in whatever form the fields come.
func TestStaleTokenOfAGoBetween(t *testing.T) {
	unix := func(at time.Time) string { return fmt.Sprint(at.Unix()) }
	for name, on := range map[string]func(time.Time) string{
		"a string":                func(at time.Time) string { return `"` + unix(at) + `"` },
		"a number":                unix,
		"a fraction":              func(at time.Time) string { return unix(at) + ".75" },
		"a date of App Service":   func(at time.Time) string { return at.UTC().Format(`"1/2/2006 3:04:05 PM +00:00"`) },
		"a date of Automation":    func(at time.Time) string { return at.UTC().Format(`"2006-01-02 15:04:05Z"`) },
		"a date of ISO 8601":      func(at time.Time) string { return at.UTC().Format(`"2006-01-02T15:04:05Z"`) },
		"a 24-hour clock with PM": func(at time.Time) string { return at.UTC().Format(`"1/2/2006 15:04:05 PM +00:00"`) },
		"a date without a zone":   func(at time.Time) string { return at.UTC().Format(`"2006-01-02 15:04:05"`) },
	} {
		for in, value := range map[string]string{"expires_in": `"86399"`, "expires_in as a number": "86399", "expires_in with a fraction": "86399.0"} {
			for dated, header := range map[string]func() string{
				"without a date":              func() string { return "X: y" },
				"with a date":                 func() string { return "Date: " + time.Now().UTC().Format(http.TimeFormat) },
				"with a Date that is no date": func() string { return "Date: yesterday" },
			} {
				field(t, strings.Join([]string{name, in, dated}, " "), nil, func(t *testing.T) {
					time.Sleep(15 * time.Hour) // from midnight into the afternoon
					expiry := time.Now().Add(20 * time.Minute)
					body := fmt.Sprintf(`{"access_token":"old","expires_in":%s,"expires_on":%s}`, value, on(expiry))
					w := always(func(req *http.Request) (*http.Response, error) {
						return answer(200, body, "Server: IMDS/1.0", header())(req)
					})
					cred := onVM(t, w)
					tk, err := token(t.Context(), cred)
					require.NoError(t, err)
					require.Equal(t, expiry.Unix(), tk.ExpiresOn.Unix())
					time.Sleep(20*time.Minute + time.Second)
					_, err = token(t.Context(), cred)
					require.Equal(t, 2, w.requests(), "an expired token was returned")
					if dated == "with a date" { // else it might be this machine's clock that is wrong
						require.ErrorContains(t, err, "the token has already expired")
					}
				})
			}
		}
	}
}
