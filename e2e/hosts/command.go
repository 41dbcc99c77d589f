// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/azhost/azhost/azhosttest"
)

// command runs a command, a line of standard input.
func (h *hosts) command(text string) error {
	name, argument, _ := strings.Cut(text, " ")
	switch name {
	case "sync":
		return nil
	case "restart":
		h.restart.Store(true)
		return nil
	case "stop":
		for _, host := range h.all {
			host.Stop()
		}
		return nil
	case "start":
		var errs []error
		for _, host := range h.all {
			errs = append(errs, host.Start())
		}
		return errors.Join(errs...)
	case "fail":
		var fault azhosttest.Fault
		if err := json.Unmarshal([]byte(argument), &fault); err != nil {
			return err
		}
		for _, host := range h.all {
			host.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) { return fault, true })
		}
		return nil
	}
	return fmt.Errorf("unknown command %q", name)
}
