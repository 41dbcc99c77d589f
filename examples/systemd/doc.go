// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package systemd has no code: it is where the test of azhost-token.service lives.
package systemd
