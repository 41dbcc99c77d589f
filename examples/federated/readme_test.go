// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"testing"

	"github.com/azhost/azhost/examples/internal/readme"
)

func TestReadme(t *testing.T) {
	t.Parallel()
	readme.Run(t, "README.md", "")
}
