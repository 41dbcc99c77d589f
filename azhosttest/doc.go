// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhosttest has fakes of the hosts that azhost gets tokens from, for tests of programs
// that use it: an Azure VM and an Azure Arc-enabled server. They speak the hosts' protocols, over
// real sockets on loopback or in memory, refuse what the hosts refuse, and fail on demand.
//
//	func TestReport(t *testing.T) {
//		vm := azhosttest.NewVM(t)
//		cred, err := azhost.NewManagedIdentityCredential(vm.Options())
//		require.NoError(t, err)
//
//		vm.Fail(azhosttest.Updating()) // IMDS is updated just now
//		require.NoError(t, report(t.Context(), cred))
//		vm.RequireRequests(t, 2)
//	}
//
// Pass InMemory instead of Options in a bubble of testing/synctest, where retries and expiry take
// no time. The tokens are JSON Web Tokens with honest claims, signed with a key of the fake's own
// that it publishes, so that a service under test can verify them; Verify does.
//
// The fakes need no privileges, have no state outside themselves, and are safe for parallel tests.
package azhosttest
