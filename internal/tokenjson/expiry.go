// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// maxSkew is how far the host's clock and this machine's may differ before they count as different.
	// Microsoft Entra ID itself tolerates five minutes.
	maxSkew = 5 * time.Minute

	// maxLife is the longest lifetime that is accepted. Tokens of Microsoft Entra ID live for about a day at
	// most; anything near this limit is a wrong unit or a wrong clock.
	maxLife = 10 * 365 * 24 * time.Hour

	maxUnix = 253402300799 // the last second of the year 9999; milliseconds and ticks are far above it
)

var errMissing = errors.New("is missing")

// expiry returns when the token expires, which is the earlier of expires_on and expires_in, and
// [Token.ClockSkew]. date, the time of the response by the host's clock, may be zero. If it shows that the
// clocks differ, expires_on is compared with date instead of with now.
func (r *fields) expiry(now, date time.Time) (time.Time, time.Duration, error) {
	var skew time.Duration
	asked := now // on the clock that expires_on is compared with
	if !date.IsZero() && date.Sub(now).Abs() > maxSkew {
		asked, skew = date, date.Sub(now)
	}
	on, onErr := instant(r.ExpiresOn, asked)
	in, inErr := lifetime(r.ExpiresIn)
	left := on.Sub(asked)
	switch {
	case onErr != nil && inErr != nil:
		return time.Time{}, 0, fmt.Errorf("the response does not say when its token expires: expires_on %w, expires_in %w", onErr, inErr)
	case onErr != nil:
		left = in
	case inErr != nil:
	case date.IsZero() && left <= 0 && in > 0:
		left, skew = in, left-in // only a wrong clock explains both
	default:
		left = min(left, in)
	}
	if left <= 0 {
		return time.Time{}, 0, errors.New("the token has already expired")
	}
	return now.Add(left), skew, nil
}

// instant reads a point in time: seconds since 1970, or a date. It must be after 1970 and at most ten years
// after asked.
func instant(f field, asked time.Time) (time.Time, error) {
	text, err := f.scalar()
	if err != nil {
		return time.Time{}, err
	}
	var t time.Time
	if s, isNumber := seconds(text); !isNumber {
		if t, err = parseDate(text); err != nil {
			return time.Time{}, err
		}
	} else if math.Abs(s) < maxUnix {
		t = time.Unix(int64(s), 0)
	}
	if t.Unix() < 1 || t.Sub(asked) > maxLife {
		return time.Time{}, errors.New("is out of range")
	}
	return t, nil
}

// lifetime reads a number of seconds and drops fractions. Zero counts as missing, because intermediaries send
// it for a field that they don't know. A negative number is the age of an expired token.
func lifetime(f field) (time.Duration, error) {
	text, err := f.scalar()
	if err != nil {
		return 0, err
	}
	s, ok := seconds(text)
	switch {
	case !ok:
		return 0, errors.New("is not a number of seconds")
	case math.Abs(s) < 1:
		return 0, errors.New("is zero")
	case math.Abs(s) > maxLife.Seconds():
		return 0, errors.New("is more than ten years")
	}
	return time.Duration(s) * time.Second, nil
}

// scalar returns the field's text without white space at its ends. It fails if nothing remains. The text may
// not be a number.
func (f field) scalar() (string, error) {
	text := strings.TrimSpace(f.text)
	if text == "" {
		return "", errMissing
	}
	return text, nil
}

// seconds reads a decimal number. The check of the characters rejects what only Go accepts as a number: NaN,
// infinities, hexadecimal digits, and underscores.
func seconds(text string) (float64, bool) {
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false
	}
	s, err := strconv.ParseFloat(text, 64)
	return s, err == nil
}

// The formats of dates in expires_on: App Service's api-version 2017-09-01 on Windows (with AM and PM, even
// after a 24-hour clock) and on Linux, Automation's hybrid worker ("2021-07-02 08:00:34Z"), and ISO 8601.
// [time.Parse] also accepts one digit instead of two, a fraction after the seconds, and a 24-hour clock with
// PM.
var (
	dates = [...]string{"1/2/2006 15:04:05", "1/2/2006 15:04:05 PM", "2006-1-2 15:04:05", "2006-1-2T15:04:05"}
	zones = [...]string{"", "Z07:00", "Z0700", " Z07:00"} // "" is UTC, as in Microsoft's libraries
)

func parseDate(text string) (time.Time, error) {
	text = strings.ToUpper(text) // am, pm, t and z
	for _, date := range dates {
		for _, zone := range zones {
			if t, err := time.Parse(date+zone, text); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, errors.New("is neither a number of seconds nor a date")
}
