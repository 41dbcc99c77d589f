// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package clients has only the test of README.md.
package clients
