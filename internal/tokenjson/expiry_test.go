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

// The forms of one hour and of one point in time.
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
		{"Windows date, 24-hour clock", `"expires_on":"1/6/2023 13:38:13 PM +00:00"`},
		{"Windows date, lower case", `"expires_on":"1/6/2023 1:38:13 pm +00:00"`},
		{"Windows date, fraction", `"expires_on":"1/6/2023 1:38:13.00 PM +00:00"`},
		{"Windows date, UTC", `"expires_on":"1/6/2023 1:38:13 PM"`},
		{"Linux date, UTC", `"expires_on":"01/06/2023 13:38:13"`},
		{"date and time, UTC", `"expires_on":"2023-01-06 13:38:13"`},
		{"date and time, fraction", `"expires_on":"2023-01-06 13:38:13.000"`},
		{"date and time, Z", `"expires_on":"2023-01-06 13:38:13Z"`},
		{"date and time, z", `"expires_on":"2023-01-06 13:38:13z"`},
		{"date and time, offset", `"expires_on":"2023-01-06 15:38:13 +02:00"`},
		{"ISO date, UTC", `"expires_on":"2023-01-06T13:38:13"`},
		{"ISO date, lower case", `"expires_on":"2023-01-06t13:38:13.0z"`},
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
			got, err := Parse([]byte(token(row.fields)), testNow, time.Time{})
			require.NoError(t, err)
			require.Equal(t, Token{AccessToken: "a.b.c", ExpiresOn: time.Unix(hour, 0).UTC()}, got)
			// The response's date has no effect while the clocks agree.
			got, err = Parse([]byte(token(row.fields)), testNow, testNow.Add(maxSkew))
			require.NoError(t, err)
			require.Equal(t, Token{AccessToken: "a.b.c", ExpiresOn: time.Unix(hour, 0).UTC()}, got)
		})
	}
}

// Each value is unusable. Alone it is an error, and with a valid field of the other kind it is ignored.
func TestParseUnusableTimes(t *testing.T) {
	for _, value := range []string{
		`true`, `[]`, `{}`, `"soon"`, `"NaN"`, `"Inf"`, `"-Infinity"`, `"0x1p11"`, `"1_000"`, `"3 600"`, `"3,600"`,
		`"1e"`, `"."`, `"e"`, `0`, `"0"`, `0.9`, `-0.9`, `1e-400`, `1e400`, `"1e400"`, `-1e400`, `1e18`,
		`1673012293000`, `638086090930000000`, `"99999999999999999999999"`, `"9223372036854775807"`, `"9223372036854775808"`,
		`"` + strings.Repeat("9", 100_000) + `"`,
	} {
		t.Run(fmt.Sprintf("%.30s", value), func(t *testing.T) {
			for _, row := range []struct{ bad, other, good string }{
				{"expires_in", "expires_on", "1673012293"},
				{"expires_on", "expires_in", `"3600"`},
			} {
				bad := fmt.Sprintf(`"%s":%s`, row.bad, value)
				_, err := Parse([]byte(token(bad)), testNow, time.Time{})
				require.ErrorContains(t, err, "the response does not say when its token expires: ")
				require.ErrorContains(t, err, row.other+" is missing")

				got, err := Parse([]byte(token(fmt.Sprintf(`%s,"%s":%s`, bad, row.other, row.good))), testNow, time.Time{})
				require.NoError(t, err)
				require.Equal(t, testNow.Add(time.Hour).UTC(), got.ExpiresOn)
				require.Zero(t, got.ClockSkew)
			}
		})
	}
}

func TestParseUnusableDates(t *testing.T) {
	for _, date := range []string{
		"2023-01-06", "13:38:13", "13/06/2023 13:38:13 +00:00", "01/32/2023 13:38:13 +00:00", "01/06/2023 24:38:13 +00:00",
		"0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59Z", "Fri, 06 Jan 2023 13:38:13 GMT",
	} {
		t.Run(date, func(t *testing.T) {
			_, err := Parse([]byte(token(`"expires_on":"`+date+`"`)), testNow, time.Time{})
			require.ErrorContains(t, err, "the response does not say when its token expires: expires_on ")
			got, err := Parse([]byte(token(`"expires_in":3600,"expires_on":"`+date+`"`)), testNow, time.Time{})
			require.NoError(t, err)
			require.Equal(t, testNow.Add(time.Hour).UTC(), got.ExpiresOn)
		})
	}
}

func TestParseExpiryErrors(t *testing.T) {
	const silent = "the response does not say when its token expires: "
	for _, row := range []struct{ name, fields, want string }{
		{"neither", `"x":1`, silent + "expires_on is missing, expires_in is missing"},
		{"both null", `"expires_on":null,"expires_in":null`, silent + "expires_on is missing, expires_in is missing"},
		{"both garbage", `"expires_on":"a","expires_in":"b"`, silent + "expires_on is neither a number of seconds nor a date, expires_in is not a number of seconds"},
		{"both zero", `"expires_on":0,"expires_in":0`, silent + "expires_on is out of range, expires_in is zero"},
		{"milliseconds", `"expires_on":1673012293000,"expires_in":3600000000`, silent + "expires_on is out of range, expires_in is more than ten years"},
		{"ticks", `"expires_on":638086090930000000`, silent + "expires_on is out of range, expires_in is missing"},
		{"ten years and a second", `"expires_on":1988368694,"expires_in":315360001`, silent + "expires_on is out of range, expires_in is more than ten years"},
		{"1970", `"expires_on":"1970-01-01 00:00:00"`, silent + "expires_on is out of range, expires_in is missing"},
		{"year 1", `"expires_on":"0001-01-01T00:00:00Z"`, silent + "expires_on is out of range, expires_in is missing"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := Parse([]byte(token(row.fields)), testNow, time.Time{})
			require.EqualError(t, err, row.want)
			require.Zero(t, got)
		})
	}
}

// TestParseEarlierExpiry gives times in seconds from testNow, when the response arrives.
func TestParseEarlierExpiry(t *testing.T) {
	const (
		none   = 1 << 40 // the field or the header is missing
		day    = 86400
		passed = "the token has already expired"
	)
	for _, row := range []struct {
		name         string
		on, in, date int64
		left, skew   int64
		err          string
	}{
		{"equal, no date", 3600, 3600, none, 3600, 0, ""},
		{"cached response, no date", 1200, 86399, none, 1200, 0, ""},
		{"cached response", 1200, 86399, 0, 1200, 0, ""},
		{"cached response, last second", 1, 86399, 0, 1, 0, ""},
		{"expires_in earlier, no date", 86399, 1200, none, 1200, 0, ""},
		{"expires_in earlier", 86399, 1200, 0, 1200, 0, ""},
		{"expires_on has passed", 0, 3600, 0, 0, 0, passed},
		{"expires_on has passed, host 5 min ahead", -1, 3600, 300, 0, 0, passed},
		{"expires_in has passed, no date", 3600, -1, none, 0, 0, passed},
		{"expires_in has passed", 3600, -1, 0, 0, 0, passed},
		{"both have passed, no date", -1, -1, none, 0, 0, passed},
		{"both have passed", -1, -1, 0, 0, 0, passed},

		{"expires_on alone, no date", 3600, none, none, 3600, 0, ""},
		{"expires_on alone, last second", 1, none, 0, 1, 0, ""},
		{"expires_on alone, passed, no date", 0, none, none, 0, 0, passed},
		{"expires_on alone, passed", 0, none, 0, 0, 0, passed},
		{"expires_in alone, no date", none, 3600, none, 3600, 0, ""},
		{"expires_in alone, passed", none, -1, none, 0, 0, passed},

		{"host 5 min ahead", 3900, 3600, 300, 3600, 0, ""},
		{"host 5 min 1 s ahead", 3901, 3600, 301, 3600, 301, ""},
		{"host 5 min behind", 3300, 3600, -300, 3300, 0, ""},
		{"host 5 min 1 s behind", 3299, 3600, -301, 3600, -301, ""},
		{"host a day ahead, cached response", day + 1200, 86399, day, 1200, day, ""},
		{"host a day ahead, expires_in earlier", day + 3600, 1200, day, 1200, day, ""},
		{"host a day behind, cached response", -day + 1200, 86399, -day, 1200, -day, ""},
		{"host a day behind, expires_on alone", -day + 1200, none, -day, 1200, -day, ""},
		{"host a day ahead, expires_on alone", day + 1200, none, day, 1200, day, ""},
		{"host a day ahead, expires_on alone, passed", day, none, day, 0, 0, passed},
		{"host a day ahead, expires_on passed", day - 1, 3600, day, 0, 0, passed},
		{"host a day ahead, expires_in alone", none, 3600, day, 3600, day, ""},
		{"host 50 years behind", -50*365*day + 3600, 86399, -50 * 365 * day, 3600, -50 * 365 * day, ""},

		{"wrong clock, no date", -1, 300, none, 300, -301, ""},
		{"wrong clock this very second, no date", 0, 300, none, 300, -300, ""},
		{"wrong clock by a year, no date", -365 * day, 3600, none, 3600, -365*day - 3600, ""},
		{"wrong clock by 50 years, no date", -50 * 365 * day, 3600, none, 3600, -50*365*day - 3600, ""},
		{"host a year ahead, no date", 365 * day, 3600, none, 3600, 0, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			fields := `"x":1`
			if row.on != none {
				fields += fmt.Sprintf(`,"expires_on":%d`, testNow.Unix()+row.on)
			}
			if row.in != none {
				fields += fmt.Sprintf(`,"expires_in":"%d"`, row.in)
			}
			var date time.Time
			if row.date != none {
				date = testNow.Add(time.Duration(row.date) * time.Second)
			}
			got, err := Parse([]byte(token(fields)), testNow, date)
			if row.err != "" {
				require.EqualError(t, err, row.err)
				require.Zero(t, got)
				return
			}
			require.NoError(t, err)
			require.Equal(t, testNow.Add(time.Duration(row.left)*time.Second).UTC(), got.ExpiresOn)
			require.Equal(t, time.Duration(row.skew)*time.Second, got.ClockSkew)
		})
	}
}

func TestParseDateLimits(t *testing.T) {
	body := []byte(token(fmt.Sprintf(`"expires_on":%d`, testNow.Unix()+3600)))
	for _, test := range []struct{ skew, want time.Duration }{
		{maxSkew, 0}, {maxSkew + 1, maxSkew + 1}, {-maxSkew, 0}, {-maxSkew - 1, -maxSkew - 1},
	} {
		got, err := Parse(body, testNow, testNow.Add(test.skew))
		require.NoError(t, err)
		require.Equal(t, test.want, got.ClockSkew)
	}
	for date, want := range map[time.Time]string{ // too far for expires_on
		time.Unix(0, 0): "expires_on is out of range",
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC): "has already expired",
	} {
		_, err := Parse(body, testNow, date)
		require.ErrorContains(t, err, want)
		got, err := Parse([]byte(token(`"expires_in":3600`)), testNow, date)
		require.NoError(t, err)
		require.Equal(t, testNow.Add(time.Hour).UTC(), got.ExpiresOn)
	}
}

func TestParseFarExpiry(t *testing.T) {
	for name, fields := range map[string]string{
		"expires_in ten years": `"expires_in":315360000`,
		"expires_on ten years": `"expires_on":1988368693`,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(token(fields)), testNow, time.Time{})
			require.NoError(t, err)
			require.Equal(t, testNow.Add(maxLife).UTC(), got.ExpiresOn)
		})
	}
}

// A machine without a clock starts in 1970, when expires_on is out of range.
func TestParseOnMachineWithoutClock(t *testing.T) {
	now := time.Unix(100, 0)
	got, err := Parse([]byte(bodyVM), now, time.Time{})
	require.NoError(t, err)
	require.Equal(t, now.Add(24*time.Hour).UTC(), got.ExpiresOn)
	_, err = Parse([]byte(bodyAppService), now, time.Time{})
	require.ErrorContains(t, err, "expires_on is out of range")
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
			got, err := Parse([]byte(token(`"expires_in":3600,"refresh_in":`+row.value)), testNow, time.Time{})
			require.NoError(t, err)
			require.Equal(t, row.want, got.RefreshIn)
		})
	}
}

// time.Now has a monotonic reading, which would outlive a suspended machine.
func TestParseDropsMonotonicClock(t *testing.T) {
	now := time.Now()
	got, err := Parse([]byte(token(`"expires_in":3600`)), now, time.Time{})
	require.NoError(t, err)
	require.Equal(t, now.Add(time.Hour).Round(0).UTC(), got.ExpiresOn)
	require.NotContains(t, got.ExpiresOn.String(), "m=")
}
