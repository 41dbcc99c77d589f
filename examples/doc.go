// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package examples has no code: it is where the tests of README.md live.
package examples
