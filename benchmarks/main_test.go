// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	const printed = `goos: linux
BenchmarkHit/resources=1/floor-2 	 100	 50.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkHit/resources=1/floor-2 	 100	 900 ns/op	 0 B/op	 0 allocs/op
BenchmarkHit/resources=1/floor-2 	 100	 40.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkHit/resources=1/azhost-2 	 100	 60.0 ns/op	 0 B/op	 0 allocs/op
BenchmarkHit/resources=1/azidentity-2 	 100	 1200 ns/op	 238 B/op	 9 allocs/op
BenchmarkHerd/azhost-2 	 20	 13968130 ns/op	 1.000 requests/herd
BenchmarkHerd/azidentity-2 	 20	 84309832 ns/op	 267.7 requests/herd
PASS
`
	const want = `Medians, linux, 2 cores.

| | unit | floor | azhost | azhost / floor | azidentity | azidentity / azhost |
| --- | --- | ---: | ---: | ---: | ---: | ---: |
| Hit/resources=1 | ns/op | 50 | 60 | 1.20 | 1200 | 20.00 |
| Hit/resources=1 | allocs/op | 0 | 0 |  | 9 |  |
| Herd | requests/herd |  | 1 |  | 268 | 267.70 |
`
	var got strings.Builder
	check(t, table(&got, strings.NewReader(printed)))
	if got.String() != want {
		t.Fatalf("got:\n%s\nwant:\n%s", got.String(), want)
	}
	if err := table(&got, strings.NewReader("BenchmarkHit/x/floor-2 1 fast ns/op")); err == nil {
		t.Fatal("a line that is not a benchmark's result was accepted")
	}
}
