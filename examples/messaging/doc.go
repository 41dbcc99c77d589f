// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package messaging has only the tests of README.md.
package messaging
