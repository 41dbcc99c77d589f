// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package tokenjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// maxSkew is how far expires_on and expires_in may differ before one of the
	// two clocks is held to be wrong. Entra itself tolerates five minutes.
	maxSkew = 5 * time.Minute

	// maxLife bounds what is believed. Entra's tokens live for a day at most;
	// anything near this limit is a wrong unit or a wrong clock.
	maxLife = 10 * 365 * 24 * time.Hour

	maxUnix = 253402300799 // the last second of the year 9999
)

// dates are the forms in which App Service's api-version 2017-09-01 wrote
// expires_on: on Windows, on Linux, and ISO 8601. All carry an offset; without
// one the time would be a guess. Months, days and hours may have one digit.
var dates = [...]string{
	"1/2/2006 3:04:05 PM -07:00",
	"1/2/2006 15:04:05 PM -07:00",
	"1/2/2006 15:04:05 -07:00",
	"1/2/2006 15:04:05",
	time.RFC3339,
	"2006-01-02T15:04:05Z0700",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05",
}

// expiry returns when the token expires, and the difference of the clocks if
// that is why expires_in was used. expires_on comes first because it does not
// shift when the answer takes long; expires_in overrules it when the host's
// clock and ours disagree, because it needs no common clock.
func (a *answer) expiry(now time.Time) (time.Time, time.Duration, error) {
	on, onErr := instant(a.ExpiresOn, now)
	in, inErr := lifetime(a.ExpiresIn)
	byIn := now.Add(in)
	if inErr == nil && byIn.Unix() > maxUnix {
		inErr = errors.New("is after the year 9999")
	}
	switch {
	case onErr != nil && inErr != nil:
		return time.Time{}, 0, fmt.Errorf("the answer does not say when its token expires: expires_on %w, expires_in %w", onErr, inErr)
	case onErr != nil:
		return byIn, 0, nil
	case inErr == nil && on.Sub(byIn).Abs() > maxSkew:
		return byIn, on.Sub(byIn), nil
	case !on.After(now):
		return time.Time{}, 0, fmt.Errorf("the token had expired %s before it arrived, by this machine's clock", now.Sub(on).Truncate(time.Second))
	}
	return on, 0, nil
}

// instant reads a point in time: seconds since 1970, or a date.
func instant(raw json.RawMessage, now time.Time) (time.Time, error) {
	text, err := scalar(raw)
	if err != nil {
		return time.Time{}, err
	}
	var t time.Time
	if s, isNumber := seconds(text); isNumber {
		if s < 1 || s > maxUnix {
			return time.Time{}, errors.New("is out of range")
		}
		t = time.Unix(int64(s), 0).UTC()
	} else if d, isDate := date(text); isDate {
		t = d
	} else {
		return time.Time{}, errors.New("is neither a number of seconds nor a date")
	}
	if t.Sub(now).Abs() > maxLife {
		return time.Time{}, errors.New("is more than ten years from this machine's time")
	}
	return t, nil
}

// lifetime reads a whole, positive number of seconds; fractions are cut off.
func lifetime(raw json.RawMessage) (time.Duration, error) {
	text, err := scalar(raw)
	if err != nil {
		return 0, err
	}
	s, ok := seconds(text)
	switch {
	case !ok:
		return 0, errors.New("is not a number of seconds")
	case s < 1:
		return 0, errors.New("is not positive")
	case s > maxLife.Seconds():
		return 0, errors.New("is more than ten years")
	}
	return time.Duration(int64(s)) * time.Second, nil
}

// scalar returns the text of a number or of a string that is not blank.
func scalar(raw json.RawMessage) (string, error) {
	text, isString := str(raw)
	if !isString && !absent(raw) {
		text = string(raw) // a number, or something that will not parse as one
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", errors.New("is missing")
	}
	return text, nil
}

// seconds reads a decimal number. The test of the characters keeps out what
// only Go calls a number: NaN, infinities, hexadecimal digits, underscores.
func seconds(text string) (float64, bool) {
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false
	}
	s, err := strconv.ParseFloat(text, 64)
	return s, err == nil
}

func date(text string) (time.Time, bool) {
	for _, layout := range dates {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), t.Unix() <= maxUnix // an offset can carry it into the year 10000
		}
	}
	return time.Time{}, false
}
