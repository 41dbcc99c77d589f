// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package clients has no code. Its test checks README.md.
package clients
