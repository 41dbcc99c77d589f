// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// usageError is an invalid command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// arguments are what a command line has in addition to options.
type arguments struct {
	operands []string
	command  []string // what follows "--"; nil without it
}

// one returns the only operand, or "" if there is none.
func (a arguments) one() (string, error) {
	all := append(slices.Clone(a.operands), a.command...)
	switch len(all) {
	case 0:
		return "", nil
	case 1:
		return all[0], nil
	}
	return "", usagef("unexpected argument %q", all[1])
}

// none returns an error if there are operands.
func (a arguments) none() error {
	operand, err := a.one()
	if err == nil && operand != "" {
		err = usagef("unexpected argument %q", operand)
	}
	return err
}

// parse sets the flags in args. Unlike [flag.FlagSet.Parse], it accepts options after operands, and its
// errors show options as people write them.
func parse(flags *flag.FlagSet, args []string) (arguments, error) {
	var parsed arguments
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			parsed.command = append([]string{}, args[i+1:]...)
			return parsed, nil
		case len(arg) < 2 || arg[0] != '-':
			parsed.operands = append(parsed.operands, arg)
			continue
		}
		name, value, given := strings.Cut(strings.TrimPrefix(arg[1:], "-"), "=")
		if name == "h" || name == "help" {
			return parsed, flag.ErrHelp
		}
		f := flags.Lookup(name)
		if f == nil {
			return parsed, usagef("unknown option %s%s", option(name), didYouMean(option(name), optionNames(flags)))
		}
		switch {
		case isBool(f) && given:
			return parsed, usagef("%s takes no value", option(name))
		case isBool(f):
			value = "true"
		case !given && i+1 == len(args):
			return parsed, usagef("%s needs a value", option(name))
		case !given:
			i++
			value = args[i]
		}
		if err := flags.Set(name, value); err != nil {
			if _, isDuration := f.Value.(flag.Getter).Get().(time.Duration); isDuration {
				return parsed, usagef("%s %q isn't a duration; write a number and a unit, such as 30s or 2m", option(name), value)
			}
			return parsed, usagef("%s %q %w", option(name), value, err)
		}
	}
	return parsed, nil
}

// option returns a flag's name as people write it.
func option(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func optionNames(flags *flag.FlagSet) []string {
	var names []string
	flags.VisitAll(func(f *flag.Flag) { names = append(names, option(f.Name)) })
	return names
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// oneOf returns an error if an option's value or an operand is not one of the known values.
func oneOf(option, value, kind string, known []string) error {
	if slices.Contains(known, value) {
		return nil
	}
	what := strings.TrimSpace(option + " " + strconv.Quote(value))
	return usagef("%s isn't %s; use one of %s%s", what, kind, strings.Join(known, ", "), didYouMean(value, known))
}

// didYouMean returns a suggestion of the known word that is closest to an unknown one, or "".
func didYouMean(word string, known []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := distance(word, k); d < least {
			best, least = k, d
		}
	}
	if best == "" || least >= len(word) {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance returns how many bytes must be inserted, deleted, replaced, or swapped with their neighbor to turn
// a into b.
func distance(a, b string) int {
	previous, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], previous[j-2]+1)
			}
		}
		previous, last = last, row
	}
	return last[len(b)]
}
