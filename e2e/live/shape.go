// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	plainName = regexp.MustCompile(`^[A-Za-z_-]{1,40}$`)
	digits    = regexp.MustCompile(`^[0-9]+$`)
)

// name returns the name of a field or a header, unless it could be an ID.
func name(s string) string {
	if plainName.MatchString(s) {
		return s
	}
	return "(other)"
}

// shape returns the JSON types in a body, without values.
func shape(body []byte) string {
	if len(body) == 0 {
		return "empty"
	}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return "not JSON"
	}
	return typeOf(v)
}

func typeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var fields []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fields = append(fields, name(key)+": "+typeOf(v[key]))
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case []any:
		var elements []string
		for _, element := range v {
			elements = append(elements, typeOf(element))
		}
		slices.Sort(elements)
		return "[" + strings.Join(slices.Compact(elements), " or ") + "]"
	case string:
		if digits.MatchString(v) {
			return "string of digits" // hosts differ in how they write times
		}
		return "string"
	case float64:
		return "number"
	case bool:
		return "boolean"
	}
	return "null"
}
