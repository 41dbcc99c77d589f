// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package line defines what the programs of the tests write to standard output: JSON values, one per line.
package line

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/azhost/azhost/azhosttest"
)

// Call is the outcome of one GetToken call of command program.
type Call struct {
	Source   string        `json:"source"`
	Resource string        `json:"resource"`
	Took     time.Duration `json:"took"` // in nanoseconds
	Token    string        `json:"token,omitempty"`
	Expires  time.Time     `json:"expires,omitzero"`
	Type     string        `json:"type,omitempty"`  // of the error
	Error    string        `json:"error,omitempty"` // its text
}

// Event is an event in command hosts: a request to a fake host, a connection to the proxy, or a finished
// command.
type Event struct {
	Host    string             `json:"host,omitempty"` // "vm", "arc", "proxy"
	Request azhosttest.Request `json:"request,omitzero"`
	Done    string             `json:"done,omitempty"` // the command; "listen" at the start
	Error   string             `json:"error,omitempty"`
}

// Writer writes lines. It is safe for concurrent use.
type Writer struct {
	mu  sync.Mutex // guards out
	out *json.Encoder
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{out: json.NewEncoder(w)} }

// Write writes v as a line. It fails only if the reader has exited. Then the program exits too, because its
// standard input ends.
func (w *Writer) Write(v any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.out.Encode(v)
}
