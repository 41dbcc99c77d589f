// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package netns keeps the programs of the tests inside the network namespaces that were made for
// them: outside, another metadata service may answer at 169.254.169.254.
package netns

import (
	"errors"
	"fmt"
	"os"
)

// Current names the network namespace of this process, such as "net:[4026531840]".
func Current() (string, error) {
	name, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return "", fmt.Errorf("which network namespace is this: %w", err)
	}
	return name, nil
}

// Confined returns an error if this process is in outside, the [Current] of the process that started it,
// or in the namespace of the machine's first process.
func Confined(outside string) error {
	if outside == "" {
		return errors.New("not started by the tests: the namespace outside is not given")
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
