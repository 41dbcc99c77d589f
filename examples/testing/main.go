// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command testing prints how to run the tests of package orders. They are the example: they show how
// to test a client and a service with azhosttest.
package main

import (
	"flag"
	"fmt"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "testing prints how to run the example. It has no flags.")
	}
	flag.Parse()
	fmt.Println("This example is a test: examples/testing/orders/orders_test.go. To run it:")
	fmt.Println("go test -v ./examples/testing/orders")
}
