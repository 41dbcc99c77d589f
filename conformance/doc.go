// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package conformance holds tests alone: that azidentity's own managed-identity credential works
// against every fake of azhosttest, so that the fakes are what that credential takes for the real
// hosts, that azidentity's chain moves on from an azhost credential when it should, and that a
// service that checks tokens with go-oidc works against the fakes unchanged.
package conformance
