// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package netns keeps the programs of the tests inside the network namespaces that were made for them.
// Outside, another metadata service may respond at 169.254.169.254.
package netns

import (
	"errors"
	"fmt"
	"os"
)

// Current returns the name of this process's network namespace, such as "net:[4026531840]".
func Current() (string, error) {
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", fmt.Errorf("find the network namespace of this process: %w", err)
	}
	return name, nil
}

// Confined returns an error if this process is in outside, the [Current] of the process that started it,
// or in the namespace of the machine's first process.
func Confined(outside string) error {
	if outside == "" {
		return errors.New("not started by the tests: -outside is not set")
	}
	here, err := Current()
	if err != nil {
		return err
	}
	machine, err := os.Readlink("/proc/1/ns/net") // some machines hide it
	if here == outside || err == nil && here == machine {
		return fmt.Errorf("refusing to run in %s, which is not a namespace of the tests", here)
	}
	return nil
}
