// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package googlecloud has no code. Its test checks credentials.json.
package googlecloud
