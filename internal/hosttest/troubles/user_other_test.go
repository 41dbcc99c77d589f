// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !linux

package troubles

import "testing"

func asOrdinaryUser(*testing.T) bool { return true }
