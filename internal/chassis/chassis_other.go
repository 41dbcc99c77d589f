// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build !linux && !windows

package chassis

func assetTag() []byte { return nil }
