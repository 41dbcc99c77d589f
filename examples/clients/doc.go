// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package clients has no code: it is where the test of README.md lives.
package clients
