// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The forms that one hour, and one point in time, may take.
func TestParseTimeForms(t *testing.T) {
	const hour = 1673012293 // testNow + 1 h
	for _, row := range []struct{ name, fields string }{
		{"expires_in string", `"expires_in":"3600"`},
		{"expires_in number", `"expires_in":3600`},
		{"expires_in number with fraction", `"expires_in":3600.0`},
		{"expires_in string with fraction", `"expires_in":"3600.0"`},
		{"expires_in fraction cut off", `"expires_in":3600.999`},
		{"expires_in exponent", `"expires_in":3.6e3`},
		{"expires_in exponent in string", `"expires_in":"3.6E+3"`},
		{"expires_in blanks", `"expires_in":" 3600\t\n"`},
		{"expires_in escaped", `"expires_in":"\u0033600"`},
		{"expires_on string", fmt.Sprintf(`"expires_on":"%d"`, hour)},
		{"expires_on number", fmt.Sprintf(`"expires_on":%d`, hour)},
		{"expires_on number with fraction", fmt.Sprintf(`"expires_on":%d.7`, hour)},
		{"expires_on exponent", `"expires_on":1.673012293e9`},
		{"expires_on blanks", fmt.Sprintf(`"expires_on":" %d "`, hour)},
		{"Windows date", `"expires_on":"1/6/2023 1:38:13 PM +00:00"`},
		{"Windows date, two digits", `"expires_on":"01/06/2023 01:38:13 PM +00:00"`},
		{"Windows date, offset", `"expires_on":"1/7/2023 1:38:13 AM +12:00"`},
		{"Linux date", `"expires_on":"01/06/2023 13:38:13 +00:00"`},
		{"Linux date, blanks", `"expires_on":" 01/06/2023 13:38:13 +00:00 "`},
		{"ISO date, Z", `"expires_on":"2023-01-06T13:38:13Z"`},
		{"ISO date, offset", `"expires_on":"2023-01-06T05:38:13-08:00"`},
		{"ISO date, offset without colon", `"expires_on":"2023-01-06T13:38:13+0000"`},
		{"ISO date, fraction", `"expires_on":"2023-01-06T13:38:13.0000000+00:00"`},
		{"expires_in empty", fmt.Sprintf(`"expires_in":"","expires_on":%d`, hour)},
		{"expires_in blank", fmt.Sprintf(`"expires_in":"  ","expires_on":%d`, hour)},
		{"expires_in null", fmt.Sprintf(`"expires_in":null,"expires_on":%d`, hour)},
		{"expires_on empty", `"expires_in":3600,"expires_on":""`},
		{"expires_on blank", `"expires_in":3600,"expires_on":" "`},
		{"expires_on null", `"expires_in":3600,"expires_on":null`},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Parse([]byte(token(row.fields)), testNow)
			require.NoError(t, err)
			require.Equal(t, Token{AccessToken: "a.b.c", ExpiresOn: time.Unix(hour, 0).UTC()}, got)
		})
	}
}

// Each of these is unusable: alone it is an error, and beside a good field of
// the other kind it is passed over.
func TestParseUnusableTimes(t *testing.T) {
	for _, value := range []string{
		`true`, `[]`, `{}`, `"soon"`, `"NaN"`, `"Inf"`, `"-Infinity"`, `"0x1p11"`, `"1_000"`, `"3 600"`, `"3,600"`,
		`"1e"`, `"."`, `"e"`, `-1`, `"-3600"`, `0`, `"0"`, `0.9`, `1e-400`, `1e400`, `"1e400"`, `-1e400`, `1e18`,
		`"99999999999999999999999"`, `"9223372036854775807"`, `"9223372036854775808"`, `315360001`,
		`"` + strings.Repeat("9", 100_000) + `"`,
	} {
		t.Run(fmt.Sprintf("%.30s", value), func(t *testing.T) {
			for _, row := range []struct{ bad, other, good string }{
				{"expires_in", "expires_on", "1673012293"},
				{"expires_on", "expires_in", `"3600"`},
			} {
				bad := fmt.Sprintf(`"%s":%s`, row.bad, value)
				_, err := Parse([]byte(token(bad)), testNow)
				require.ErrorContains(t, err, "the answer does not say when its token expires: ")
				require.ErrorContains(t, err, row.other+" is missing")

				got, err := Parse([]byte(token(fmt.Sprintf(`%s,"%s":%s`, bad, row.other, row.good))), testNow)
				require.NoError(t, err)
				require.Equal(t, testNow.Add(time.Hour).UTC(), got.ExpiresOn)
				require.Zero(t, got.ClockSkew)
			}
		})
	}
}

func TestParseUnusableDates(t *testing.T) {
	for _, date := range []string{
		"1/6/2023 1:38:13 PM", "2023-01-06T13:38:13", "2023-01-06", // no offset
		"13/06/2023 13:38:13 +00:00", "01/32/2023 13:38:13 +00:00", "01/06/2023 24:38:13 +00:00",
		"0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59Z", "Fri, 06 Jan 2023 13:38:13 GMT",
	} {
		t.Run(date, func(t *testing.T) {
			_, err := Parse([]byte(token(`"expires_on":"`+date+`"`)), testNow)
			require.ErrorContains(t, err, "the answer does not say when its token expires: expires_on ")
			got, err := Parse([]byte(token(`"expires_in":3600,"expires_on":"`+date+`"`)), testNow)
			require.NoError(t, err)
			require.Equal(t, testNow.Add(time.Hour).UTC(), got.ExpiresOn)
		})
	}
}

func TestParseExpiryErrors(t *testing.T) {
	const silent = "the answer does not say when its token expires: "
	for _, row := range []struct{ name, fields, want string }{
		{"neither", `"x":1`, silent + "expires_on is missing, expires_in is missing"},
		{"both null", `"expires_on":null,"expires_in":null`, silent + "expires_on is missing, expires_in is missing"},
		{"both garbage", `"expires_on":"a","expires_in":"b"`, silent + "expires_on is neither a number of seconds nor a date, expires_in is not a number of seconds"},
		{"both negative", `"expires_on":-1,"expires_in":-1`, silent + "expires_on is out of range, expires_in is not positive"},
		{"milliseconds", `"expires_on":1673012293000,"expires_in":3600000000`, silent + "expires_on is out of range, expires_in is more than ten years"},
		{"expired", `"expires_on":1673008513`, "the token had expired 3m0s before it arrived, by this machine's clock"},
		{"expired this moment", `"expires_on":1673008693`, "the token had expired 0s before it arrived, by this machine's clock"},
		{"expired, expires_in zero", `"expires_on":1673008513,"expires_in":0`, "the token had expired 3m0s before it arrived, by this machine's clock"},
		{"expired, expires_in agrees", `"expires_on":1673008513,"expires_in":120`, "the token had expired 3m0s before it arrived, by this machine's clock"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Parse([]byte(token(row.fields)), testNow)
			require.EqualError(t, err, row.want)
			require.Zero(t, got)
		})
	}
}

// Rows give expires_on and expires_in as seconds from testNow.
func TestParseClockSkew(t *testing.T) {
	for _, row := range []struct {
		name           string
		on, in         int64
		wantLeft, skew time.Duration
	}{
		{"agree", 3600, 3600, time.Hour, 0},
		{"host 5 min ahead", 3900, 3600, 65 * time.Minute, 0},
		{"host 5 min 1 s ahead", 3901, 3600, time.Hour, 301 * time.Second},
		{"host 5 min behind", 3300, 3600, 55 * time.Minute, 0},
		{"host 5 min 1 s behind", 3299, 3600, time.Hour, -301 * time.Second},
		{"expires_on past, 5 min 1 s apart", -1, 300, 5 * time.Minute, -301 * time.Second},
		{"host a year behind", -365 * 86400, 3600, time.Hour, -(365*24 + 1) * time.Hour},
	} {
		t.Run(row.name, func(t *testing.T) {
			body := token(fmt.Sprintf(`"expires_on":%d,"expires_in":"%d"`, testNow.Unix()+row.on, row.in))
			got, err := Parse([]byte(body), testNow)
			require.NoError(t, err)
			require.Equal(t, testNow.Add(row.wantLeft).UTC(), got.ExpiresOn)
			require.Equal(t, row.skew, got.ClockSkew)
		})
	}
	t.Run("a nanosecond more than 5 min", func(t *testing.T) {
		body := []byte(token(`"expires_on":1673012293,"expires_in":3900`))
		got, err := Parse(body, testNow.Add(time.Nanosecond))
		require.NoError(t, err)
		require.Equal(t, -maxSkew-time.Nanosecond, got.ClockSkew)
	})
}

func TestParseFarExpiry(t *testing.T) {
	late := time.Date(9999, 12, 31, 23, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name, fields string
		now          time.Time
		left         time.Duration // zero: refused
	}{
		{"expires_in ten years", `"expires_in":315360000`, testNow, maxLife},
		{"expires_in ten years and a second", `"expires_in":315360001`, testNow, 0},
		{"expires_on ten years", `"expires_on":1988368693`, testNow, maxLife},
		{"expires_on ten years and a second", `"expires_on":1988368694`, testNow, 0},
		{"expires_in to the end of 9999", `"expires_in":3599`, late, 3599 * time.Second},
		{"expires_in into 10000", `"expires_in":3600`, late, 0},
		{"expires_on at the end of 9999", `"expires_on":253402300799`, late, 3599 * time.Second},
		{"expires_on in 10000", `"expires_on":253402300800`, late, 0},
		{"date at the end of 9999", `"expires_on":"9999-12-31T23:59:59Z"`, late, 3599 * time.Second},
		{"date in 10000 by its offset", `"expires_on":"9999-12-31T23:59:59-00:01"`, late, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Parse([]byte(token(row.fields)), row.now)
			if row.left == 0 {
				require.ErrorContains(t, err, "the answer does not say when its token expires")
				return
			}
			require.NoError(t, err)
			require.Equal(t, row.now.Add(row.left).UTC(), got.ExpiresOn)
		})
	}
}

// A machine without a clock starts in 1970: expires_on is then of no use.
func TestParseOnMachineWithoutClock(t *testing.T) {
	now := time.Unix(100, 0)
	got, err := Parse([]byte(bodyVM), now)
	require.NoError(t, err)
	require.Equal(t, now.Add(24*time.Hour).UTC(), got.ExpiresOn)
	_, err = Parse([]byte(bodyAppService), now)
	require.ErrorContains(t, err, "expires_on is more than ten years from this machine's time")
}

func TestParseRefreshIn(t *testing.T) {
	for _, row := range []struct {
		name, value string
		want        time.Duration
	}{
		{"number", `1800`, 30 * time.Minute},
		{"string", `" 1800.0 "`, 30 * time.Minute},
		{"one second", `1`, time.Second},
		{"zero", `0`, 0},
		{"negative", `-1800`, 0},
		{"one second less than the rest", `3599`, 3599 * time.Second},
		{"the rest", `3600`, 0},
		{"more than the rest", `43200`, 0},
		{"overflow", `1e300`, 0},
		{"NaN", `"NaN"`, 0},
		{"blank", `""`, 0},
		{"null", `null`, 0},
		{"bool", `true`, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Parse([]byte(token(`"expires_in":3600,"refresh_in":`+row.value)), testNow)
			require.NoError(t, err)
			require.Equal(t, row.want, got.RefreshIn)
		})
	}
}

// time.Now has a monotonic reading, which would outlive a suspended machine.
func TestParseDropsMonotonicClock(t *testing.T) {
	now := time.Now()
	got, err := Parse([]byte(token(`"expires_in":3600`)), now)
	require.NoError(t, err)
	require.Equal(t, now.Add(time.Hour).Round(0).UTC(), got.ExpiresOn)
	require.NotContains(t, got.ExpiresOn.String(), "m=")
}
