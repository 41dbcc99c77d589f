// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"
)

// process has the resources that a process uses.
type process struct {
	goroutines, descriptors int
	heap                    uint64 // bytes in use after a collection
}

const (
	// maxGrowth allows for what packages of the standard library keep after their first use.
	maxGrowth = 2 << 20
	// settleWithin is longer than a request may run without a waiting caller: 3 min.
	settleWithin = 200 * time.Second
)

// measureIdle measures the process before its work.
func measureIdle() (process, error) {
	// The first socket makes the runtime open its poller, which stays open.
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
	for range 3 { // objects with a cleanup are freed one cycle later
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

// settle waits until the process uses no more than before, and returns the last measurement.
func settle(before process) (process, error) {
	for end := time.Now().Add(settleWithin); ; time.Sleep(100 * time.Millisecond) {
		after, err := measure()
		if err != nil || after.backTo(before) || time.Now().After(end) {
			return after, err
		}
	}
}

// watch measures how late a goroutine that sleeps for 10 ms wakes up at most. Callers are late too if the
// machine is busy with other work. lateness ends the watch and returns the result.
func watch(ctx context.Context) (lateness func() time.Duration) {
	ctx, stop := context.WithCancel(ctx)
	done := make(chan time.Duration)
	go func() {
		const tick = 10 * time.Millisecond
		var most time.Duration
		for last := time.Now(); sleep(ctx, tick); last = time.Now() {
			most = max(most, time.Since(last)-tick)
		}
		done <- most
	}()
	return func() time.Duration { stop(); return <-done }
}

func (p process) backTo(before process) bool {
	return p.goroutines <= before.goroutines && p.descriptors <= before.descriptors && p.heap <= before.heap+maxGrowth
}

// print prints both measurements, and reports whether the process uses no more than before.
func (p process) print(before process) bool {
	fmt.Printf("\nprocess %48s\n", "begin -> end")
	row := func(what string, begin, end any) { fmt.Printf("%-44s %5v -> %5v\n", what, begin, end) }
	row("  goroutines", before.goroutines, p.goroutines)
	row("  file descriptors", before.descriptors, p.descriptors)
	row("  heap after collection, KiB", before.heap>>10, p.heap>>10)
	return p.backTo(before)
}
