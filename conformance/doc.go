// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package conformance holds tests alone. They check that azidentity's own managed-identity credential
// works against every fake of azhosttest, that azhost does what azidentity's and MSAL's own tests assert
// or differs as docs/comparison.md states, that azidentity's chain moves on from an azhost credential
// when it should, that a service that checks tokens with go-oidc works against the fakes unchanged,
// and that go-mssqldb, which makes a credential for every connection, costs the host one token.
package conformance
