// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Command testing says how to run the tests of package orders, which are what it is about: how to
// test a client and a service with azhosttest.
package main

import "fmt"

func main() {
	fmt.Println("The example is the test: examples/testing/orders/orders_test.go. Run it:")
	fmt.Println("go test -v ./examples/testing/orders")
}
