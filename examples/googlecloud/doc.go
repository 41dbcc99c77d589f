// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package googlecloud has no code: it is where the test of credentials.json lives.
package googlecloud
