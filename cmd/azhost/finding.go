// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// finding is one thing that the doctor looked at.
type finding struct {
	Check  string `json:"check"`
	Status status `json:"status"`
	Detail string `json:"detail"`
	Todo   string `json:"todo"` // "" where there is nothing to do
}

type status string

const (
	ok   status = "ok"
	note status = "note"
	bad  status = "bad"
)

// findings is what the doctor found, in order.
type findings struct {
	Findings []finding `json:"findings"`
}

func (f *findings) add(s status, check, detail, todo string) {
	f.Findings = append(f.Findings, finding{check, s, detail, todo})
}

// write writes a line per finding, and then what to do.
func (f *findings) write(w io.Writer) error {
	width := 0
	for _, x := range f.Findings {
		width = max(width, len(x.Check))
	}
	var b strings.Builder
	var todo []string
	for _, x := range f.Findings {
		fmt.Fprintf(&b, "%-4s  %-*s  %s\n", x.Status, width, x.Check, x.Detail)
		if line := "- " + x.Check + ": " + x.Todo + "\n"; x.Todo != "" && !slices.Contains(todo, line) {
			todo = append(todo, line)
		}
	}
	if len(todo) > 0 {
		b.WriteString("\nWhat to do\n" + strings.Join(todo, ""))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
