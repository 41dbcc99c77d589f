// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// report is what the doctor found. Users attach its JSON form to issues, so its names and the words in Reason
// and Name do not change.
type report struct {
	Version  string    `json:"version"`
	Host     string    `json:"host"` // an azhost.Source
	OK       bool      `json:"ok"`
	Reason   reason    `json:"reason"`
	ExitCode int       `json:"exitCode"`
	Verdict  string    `json:"verdict"`
	Findings []finding `json:"findings"`
	Next     []string  `json:"next"` // commands
	URL      string    `json:"url,omitempty"`
}

// finding is the result of one check. Names in a report are unique.
type finding struct {
	Name   string `json:"name"`
	Status status `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

type status string

const (
	ok   status = "ok"
	note status = "note"
	bad  status = "bad"
)

func (r *report) add(s status, name, detail, remedy string) {
	base := name
	for n := 2; r.find(name) != nil; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	r.Findings = append(r.Findings, finding{name, s, detail, remedy})
}

// find returns the finding with a name, or nil.
func (r *report) find(name string) *finding {
	i := slices.IndexFunc(r.Findings, func(f finding) bool { return f.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Findings[i]
}

// write writes the verdict, what is wrong, and what to do. If verbose, it also writes the checks that passed.
func (r *report) write(c console, verbose bool) error {
	var b strings.Builder
	for line := range strings.Lines(c.wrap(r.Verdict, "", "")) {
		b.WriteString(c.paint(r.color(), strings.TrimSuffix(line, "\n")) + "\n")
	}
	r.section(&b, c, "Problems", func(f finding) bool { return f.Status == bad && (verbose || !r.repeated(f)) })
	r.section(&b, c, "Notes", func(f finding) bool { return f.Status == note })
	if verbose {
		r.section(&b, c, "Passed", func(f finding) bool { return f.Status == ok })
	}
	if len(r.Next) > 0 {
		b.WriteString("\n" + c.paint(bold, "Next steps") + "\n")
		for _, command := range r.Next {
			b.WriteString("  " + command + "\n")
		}
	}
	if r.URL != "" {
		b.WriteString("\nMore: " + r.URL + "\n")
	}
	_, err := io.WriteString(c, b.String())
	return err
}

// color returns the verdict's color.
func (r *report) color() style {
	if r.OK {
		return green
	}
	return red
}

// repeated reports whether another problem says the same.
func (r *report) repeated(f finding) bool {
	isBad := func(name string) bool { other := r.find(name); return other != nil && other.Status == bad }
	switch f.Name {
	case "endpoint":
		return isBad("token")
	case "token":
		return isBad("key-directory") && (r.Reason == reasonKeyUnreadable || r.Reason == reasonKeyMissing)
	}
	return false
}

// section writes a heading and the findings that show selects, if there are any.
func (r *report) section(b *strings.Builder, c console, heading string, show func(finding) bool) {
	width := 0
	for _, f := range r.Findings {
		if show(f) {
			width = max(width, len(f.Name))
		}
	}
	if width == 0 {
		return
	}
	b.WriteString("\n" + c.paint(bold, heading) + "\n")
	indent := strings.Repeat(" ", width+4)
	for _, f := range r.Findings {
		if !show(f) {
			continue
		}
		text := c.wrap(f.Detail, indent, indent)[len(indent):]
		color := map[status]style{ok: green, note: yellow, bad: red}[f.Status]
		b.WriteString("  " + c.paint(color, f.Name) + indent[2+len(f.Name):] + text)
		if f.Remedy != "" {
			b.WriteString(c.wrap("Fix: "+f.Remedy, indent, indent))
		}
	}
}
