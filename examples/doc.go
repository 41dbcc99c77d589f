// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package examples has no code. Its tests check README.md.
package examples
