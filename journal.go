// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// journal writes the log lines of one flight in order, on its own goroutine. So a handler that is slow, never
// returns, panics, or requests a token doesn't delay callers. The zero journal writes nothing.
type journal struct {
	log *slog.Logger // written at construction

	mu     sync.Mutex       // guards the fields below; a flight that was given up may still write
	lines  chan slog.Record // nil before the first line
	closed bool
}

// maxLines is how many lines can wait for a slow handler. Further lines are dropped. A flight on a host's own
// schedule writes fewer.
const maxLines = 64

func (j *journal) write(level slog.Level, message string, attrs ...any) {
	if j.log == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	if j.lines == nil {
		j.lines = make(chan slog.Record, maxLines)
		go drain(j.log.Handler(), j.lines)
	}
	r := slog.NewRecord(time.Now(), level, message, 0)
	r.Add(attrs...)
	select {
	case j.lines <- r:
	default:
	}
}

// close ends the goroutine once it has written all lines.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.lines != nil {
		close(j.lines)
	}
}

func drain(h slog.Handler, lines <-chan slog.Record) {
	for r := range lines {
		guarded(func() {
			if h.Enabled(context.Background(), r.Level) {
				_ = h.Handle(context.Background(), r)
			}
		})
	}
}

// guarded calls custom code on a goroutine of azhost. If the code panics, one line or event is lost, but the
// program continues.
func guarded(f func()) {
	defer func() { _ = recover() }()
	f()
}

// loggerOf returns the logger to write to, or nil. If the caller has set none, the variable that enables the
// Azure SDK's own log enables this one too.
func loggerOf(log *slog.Logger) *slog.Logger {
	switch {
	case log == nil && os.Getenv("AZURE_SDK_GO_LOGGING") == "all":
		return slog.New(sdkHandler{})
	case log != nil && log.Handler() == slog.DiscardHandler:
		return nil
	}
	return log
}

// sdkHandler writes to standard error as azcore does: "[time] Event: message".
type sdkHandler struct{ attrs []slog.Attr }

func (sdkHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h sdkHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sdkHandler{slices.Concat(h.attrs, attrs)}
}

func (h sdkHandler) WithGroup(string) slog.Handler { return h } // this package uses none

func (h sdkHandler) Handle(_ context.Context, r slog.Record) error {
	var line bytes.Buffer
	fmt.Fprintf(&line, "[%s] Authentication: %s", r.Time.Format(time.StampMicro), r.Message)
	write := func(a slog.Attr) bool {
		fmt.Fprintf(&line, " %s=%q", a.Key, a.Value)
		return true
	}
	for _, a := range h.attrs {
		write(a)
	}
	r.Attrs(write)
	line.WriteByte('\n')
	_, err := os.Stderr.Write(line.Bytes()) // one write, so that lines do not mix
	return err
}
