// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package systemd has no code. Its test checks azhost-token.service.
package systemd
