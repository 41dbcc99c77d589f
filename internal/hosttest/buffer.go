// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package hosttest

import (
	"bytes"
	"io"
	"sync"
)

// Buffer is a buffer that several goroutines may use at once.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (s *Buffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// ReadFrom appends what it reads from r.
func (s *Buffer) ReadFrom(r io.Reader) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.ReadFrom(r)
}

// String returns what was written so far.
func (s *Buffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
