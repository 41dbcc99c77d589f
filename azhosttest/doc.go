// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhosttest provides fakes of the hosts that azhost gets tokens from, for testing programs
// that use it: an Azure VM ([NewVM]), an Azure Arc-enabled server ([NewArc]), App Service
// ([NewAppService]), Service Fabric ([NewServiceFabric]), Cloud Shell ([NewCloudShell]), and Azure ML
// ([NewAzureML]). They speak the hosts' protocols, reject what the hosts reject, and fail on demand.
//
//	func TestReport(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			vm := azhosttest.NewVM(t)
//			cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
//			require.NoError(t, err)
//
//			vm.FailUntil(time.Now().Add(70*time.Second), azhosttest.Updating())
//			require.NoError(t, report(t.Context(), cred)) // takes no time in a bubble
//			vm.RequireResource(t, "https://storage.azure.com")
//		})
//	}
//
// The fakes need no privileges, make no network requests, leave nothing behind, and are safe for
// parallel tests. Programs other than tests use [ListenVM], [ListenArc], and so on.
//
// # Connecting to a fake
//
// [Host.Options] and [Host.InMemory] return options for a credential. Options connects over a
// loopback socket. InMemory calls the fake directly; use it in testing/synctest bubbles, where
// retries, throttling, and expiry take no time. The credentials of one fake share a token cache, as
// they do in production. Different fakes share nothing.
//
// For code that creates its own credential, use an [AppService] and call [Host.Setenv]. The
// variables IDENTITY_ENDPOINT and IDENTITY_HEADER lead every client library to the fake, including
// azhost and azidentity. No variable does that for a [VM] or tells a client where the key files of
// an [Arc] are, so their Setenv fails the test.
//
// App Service, Service Fabric, and Azure ML require a secret, which azhost reads from the
// environment for every request, whatever its options are. Call Setenv for these hosts in any case,
// and before a bubble starts, because Setenv opens a socket. Service Fabric has no in-memory
// transport, because its certificate is pinned.
//
// # Identities
//
// A new host has one system-assigned identity. [Host.SetIdentities] replaces it with any number of
// [SystemAssigned] and [UserAssigned] identities. The fake selects among them as the real host does.
//
// # Tokens
//
// Tokens are signed JSON Web Tokens with realistic claims. Every fake has a different key. A service
// under test checks tokens with [Host.Verify] or [Host.PublicKey], or finds the key by OpenID Connect
// discovery ([Host.ServeIssuer]).
//
// SetTokenLifetime, SetRefreshIn, ReuseTokens, and SetClaims change new tokens. EditResponse changes
// the JSON around them. Expire makes Verify reject the tokens issued so far.
//
// # Failures
//
// Fail, FailWhile, FailUntil, and FailRandomly replace responses with a [Fault]: a status, header,
// and body, a delay, a dropped connection, or a truncated body. SetLatency, Throttle, Stop, and
// Silence make the whole host slow, busy, or absent.
//
// An [Arc] can also fail with its key files (SetKeyFault, SetKeyLifetime, RefuseKeys), its challenges
// (SetChallenge), and its agent (Restart, IgnoreSelectors). An [AppService] can rotate its secret
// (RotateHeader), and a [ServiceFabric] can present the wrong certificate (UseWrongCertificate).
//
// # Assertions
//
// RequireTokens, RequireRequests, and RequireResource fail the test if the program made other
// requests than expected. Requests returns the log.
//
// # Fidelity
//
// The fakes reproduce documented and captured responses exactly: statuses, fields and their types,
// error codes, and the best-known error texts. All other texts are made up because they aren't
// public, so no program should depend on them.
//
// Some behavior isn't known. Throttled fakes send Retry-After, an Arc agent answers a wrong key with
// another challenge, and a wrong secret gets 401 on App Service and Azure ML and 404 on Service
// Fabric.
package azhosttest
