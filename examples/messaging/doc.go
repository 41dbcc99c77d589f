// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package messaging has no code. Its tests check README.md.
package messaging
