// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package conformance has only tests. They check that azidentity's own managed identity credential works with
// every fake of azhosttest; that azhost does what the tests of azidentity and MSAL assert, or differs as
// docs/comparison.md states; that azidentity's chain continues after an azhost credential when it should;
// that a service that checks tokens with go-oidc works with the fakes unchanged; and that go-mssqldb, which
// creates a credential for every connection, makes only one token request.
package conformance
