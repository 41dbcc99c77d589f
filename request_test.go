// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// TestEarlierExpiryWins checks that if expires_in and expires_on disagree, the earlier one counts, unless
// the Date header, or a past expires_on without it, shows that the clocks disagree. That is logged.
func TestEarlierExpiryWins(t *testing.T) {
	for _, test := range []struct {
		name          string
		in, on        time.Duration // expires_in, and expires_on from now
		date          time.Duration // the Date header, from now
		dated, logged bool
		want          time.Duration
	}{
		{name: "an intermediary repeats an old response", in: 24 * time.Hour, on: 20 * time.Minute, want: 20 * time.Minute},
		{name: "an intermediary repeats an old response with a Date", in: 24 * time.Hour, on: 20 * time.Minute, dated: true, want: 20 * time.Minute},
		{name: "expires_in is shorter", in: time.Hour, on: 2 * time.Hour, want: time.Hour},
		{name: "a host that is 2 days ahead", in: time.Hour, on: 49 * time.Hour, date: 48 * time.Hour, dated: true, logged: true, want: time.Hour},
		{name: "a host that is 2 days behind", in: time.Hour, on: -47 * time.Hour, date: -48 * time.Hour, dated: true, logged: true, want: time.Hour},
		{name: "a host that is 2 days behind, without a Date", in: time.Hour, on: -47 * time.Hour, logged: true, want: time.Hour},
		{name: "a few minutes apart", in: time.Hour, on: time.Hour - 4*time.Minute, date: -4 * time.Minute, dated: true, want: 56 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log safeBuffer
				now := time.Now()
				body := fmt.Sprintf(`{"access_token":"x","expires_in":"%d","expires_on":"%d"}`, int(test.in.Seconds()), now.Add(test.on).Unix())
				headers := []string{}
				if test.dated {
					headers = append(headers, "Date: "+now.Add(test.date).UTC().Format(http.TimeFormat))
				}
				tk, err := token(t.Context(), onVM(t, always(answer(200, body, headers...)),
					func(o *azhost.ManagedIdentityCredentialOptions) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) }))
				require.NoError(t, err)
				require.Equal(t, now.Add(test.want).Unix(), tk.ExpiresOn.Unix())
				synctest.Wait()
				require.Equal(t, test.logged, strings.Contains(log.String(), "the host's clock differs"), log.String())
			})
		})
	}
}

func TestResourceIsSentUnchanged(t *testing.T) {
	for scope, resource := range map[string]string{
		"https://vault.azure.net/.default":             "https://vault.azure.net",
		"https://database.windows.net//.default":       "https://database.windows.net/",
		"https://datalake.azure.net/":                  "https://datalake.azure.net/",
		"https://vault.azure.net":                      "https://vault.azure.net",
		"api://00000000-1111/.default/.default":        "api://00000000-1111/.default",
		"a b&resource=x"[2:] + "/.default":             "b&resource=x",
		"https://storage.azure.com/user_impersonation": "https://storage.azure.com/user_impersonation",
	} {
		t.Run(scope, func(t *testing.T) {
			var got []string
			cred := onVM(t, always(func(req *http.Request) (*http.Response, error) {
				got = req.URL.Query()["resource"]
				return goodToken(req)
			}))
			_, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{scope}})
			require.NoError(t, err)
			require.Equal(t, []string{resource}, got)
		})
	}
}

// TestAgeHeader checks that the times of a response count from when the host sent it, which is Age before
// its arrival. The Date of an old response doesn't mean that a clock is wrong.
func TestAgeHeader(t *testing.T) {
	const age = 2 * time.Hour
	for name, test := range map[string]struct {
		on, in  time.Duration // from when the host sent the response; 0 leaves the field out
		ahead   time.Duration // the host's clock
		age     string
		dated   bool
		want    time.Duration // from now; negative: expired
		refresh time.Duration
	}{
		"both":                           {on: 3 * time.Hour, in: 24 * time.Hour, age: "7200", dated: true, want: time.Hour},
		"both, without a Date":           {on: 3 * time.Hour, in: 24 * time.Hour, age: "7200", want: time.Hour},
		"expires_on":                     {on: 3 * time.Hour, age: "7200", dated: true, want: time.Hour},
		"expires_in":                     {in: 3 * time.Hour, age: "7200", dated: true, want: time.Hour},
		"expires_in, without a Date":     {in: 3 * time.Hour, age: "7200", want: time.Hour},
		"a clock that is ahead":          {on: 3 * time.Hour, ahead: time.Hour, age: "7200", dated: true, want: time.Hour},
		"expired meanwhile":              {on: time.Hour, in: 24 * time.Hour, age: "7200", dated: true, want: -1},
		"expires_in has passed":          {in: time.Hour, age: "7200", want: -1},
		"an Age that is not a number":    {in: 3 * time.Hour, age: "old", want: 3 * time.Hour},
		"an Age that is negative":        {in: 3 * time.Hour, age: "-7200", want: 3 * time.Hour},
		"an Age that is too large":       {in: 3 * time.Hour, age: "99999999999999999999", want: -1},
		"refresh_in counts from then on": {in: 12 * time.Hour, age: "7200", want: 10 * time.Hour, refresh: 3 * time.Hour},
	} {
		inBubble(t, name, nil, func(t *testing.T) {
			now := time.Now()
			fields := []string{`{"access_token":"t"`}
			if test.on != 0 {
				fields = append(fields, fmt.Sprintf(`"expires_on":%d`, now.Add(test.on-age+test.ahead).Unix()))
			}
			if test.in != 0 {
				fields = append(fields, fmt.Sprintf(`"expires_in":%d`, int(test.in.Seconds())))
			}
			if test.refresh != 0 {
				fields = append(fields, fmt.Sprintf(`"refresh_in":%d`, int(test.refresh.Seconds())))
			}
			headers := []string{"Server: IMDS/1.0", "Age: " + test.age}
			if test.dated {
				headers = append(headers, "Date: "+now.Add(test.ahead-age).UTC().Format(http.TimeFormat))
			}
			tk, err := token(t.Context(), onVM(t, always(answer(200, strings.Join(fields, ",")+"}", headers...))))
			if test.want < 0 {
				require.ErrorContains(t, err, "the token has already expired")
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, tk.ExpiresOn.Sub(now))
			if test.refresh != 0 {
				require.InDelta(t, (test.refresh - age).Minutes(), tk.RefreshOn.Sub(now).Minutes(), 10, "with its jitter")
			}
		})
	}
}

// TestIntermediaryReturnsStaleToken checks a cached response that an intermediary repeats, whose expires_in
// is out of date. The token expires on time, whatever the form of the fields.
func TestIntermediaryReturnsStaleToken(t *testing.T) {
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
				"without a date":       func() string { return "X: y" },
				"with a date":          func() string { return "Date: " + time.Now().UTC().Format(http.TimeFormat) },
				"with an invalid Date": func() string { return "Date: yesterday" },
			} {
				inBubble(t, strings.Join([]string{name, in, dated}, " "), nil, func(t *testing.T) {
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
					require.Equal(t, 2, w.Requests(), "an expired token was returned")
					if dated == "with a date" { // without it, this machine's clock might be wrong
						require.ErrorContains(t, err, "the token has already expired")
					}
				})
			}
		}
	}
}
