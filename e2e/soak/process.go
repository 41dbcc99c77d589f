// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
)

// process is what a process has.
type process struct {
	goroutines, descriptors int
	heap                    uint64 // bytes in use after a collection
}

const (
	// maxGrowth allows for what packages of the standard library keep once they were used.
	maxGrowth = 2 << 20
	// settleWithin is longer than a request may take that no caller waits for: 3 min.
	settleWithin = 200 * time.Second
)

// measureIdle measures the process before its work.
func measureIdle() (process, error) {
	// The first socket makes the runtime open its poller, which stays for good.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return process{}, err
	}
	if err := l.Close(); err != nil {
		return process{}, err
	}
	return measure()
}

func measure() (process, error) {
	for range 3 { // what has a cleanup goes in the cycle after it
		runtime.GC()
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return process{}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	// The signal handler's goroutine and ReadDir's own descriptor are in both measurements.
	return process{goroutines: runtime.NumGoroutine(), descriptors: len(fds), heap: m.HeapAlloc}, nil
}

// settle waits until the process is back where it began, and returns what it has then or at last.
func settle(before process) (process, error) {
	for end := time.Now().Add(settleWithin); ; time.Sleep(100 * time.Millisecond) {
		after, err := measure()
		if err != nil || after.backTo(before) || time.Now().After(end) {
			return after, err
		}
	}
}

func (p process) backTo(before process) bool {
	return p.goroutines <= before.goroutines && p.descriptors <= before.descriptors && p.heap <= before.heap+maxGrowth
}

// print reports whether the process is back where it began.
func (p process) print(before process) bool {
	fmt.Printf("\nprocess %48s\n", "begin -> end")
	row := func(what string, begin, end any) { fmt.Printf("%-44s %5v -> %5v\n", what, begin, end) }
	row("  goroutines", before.goroutines, p.goroutines)
	row("  file descriptors", before.descriptors, p.descriptors)
	row("  heap after collection, KiB", before.heap>>10, p.heap>>10)
	return p.backTo(before)
}
