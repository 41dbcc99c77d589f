// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// console is where a command writes: a terminal, a pipe, or a file.
type console struct {
	io.Writer
	terminal bool
	color    bool
	width    int // the columns to wrap at; 0 leaves lines as they are
}

const (
	usualWidth   = 80
	maxWidth     = 120 // longer lines are hard to read
	minimumWidth = 40
)

// newConsole returns the console for a file. A terminal's text is wrapped to its width and colored,
// unless NO_COLOR (https://no-color.org) is set or the terminal is dumb. Anything else gets plain
// lines, wrapped only if COLUMNS is set.
func newConsole(f *os.File) console {
	columns, terminal := columns(f)
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 && columns == 0 {
		columns = n
	}
	if terminal && columns == 0 {
		columns = usualWidth
	}
	if columns > 0 {
		columns = min(max(columns, minimumWidth), maxWidth)
	}
	return console{
		Writer: f, terminal: terminal, width: columns,
		color: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && escapes(f),
	}
}

// style is an SGR sequence of a terminal.
type style string

const (
	bold   style = "1"
	red    style = "1;31"
	green  style = "1;32"
	yellow style = "1;33"
)

// paint returns text in a style, if the console has colors.
func (c console) paint(s style, text string) string {
	if !c.color || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// wrap returns text as lines that begin with the indent first, and then rest. A word that is longer
// than a line stays whole, so that it can be copied.
func (c console) wrap(text, first, rest string) string {
	var b strings.Builder
	b.WriteString(first)
	at, empty := utf8.RuneCountInString(first), true
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case empty:
		case c.width > 0 && at+1+n > c.width:
			b.WriteString("\n" + rest)
			at = utf8.RuneCountInString(rest)
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at, empty = at+n, false
	}
	return b.String() + "\n"
}
