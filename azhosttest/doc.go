// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhosttest has fakes of the hosts that azhost gets tokens from, for tests of programs
// that use it: an Azure VM ([NewVM]), an Azure Arc-enabled server ([NewArc]), App Service
// ([NewAppService]), Service Fabric ([NewServiceFabric]), Cloud Shell ([NewCloudShell]) and Azure ML
// ([NewAzureML]). They speak the hosts' protocols, refuse what the hosts refuse, and fail on demand.
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
// The fakes need no privileges, keep no state outside themselves, send nothing anywhere and are
// safe for parallel tests. A program that is not a test uses [ListenVM], [ListenArc] and the like.
//
// # Transports
//
// Options and InMemory return options for the credential. Options' go over a real socket on
// loopback. InMemory's call the fake without one, which a bubble of testing/synctest needs, where
// retries, throttling and expiry take no time, as above.
//
// For code that creates its credential itself, use an [AppService] and call Setenv. IDENTITY_ENDPOINT
// and IDENTITY_HEADER lead every client library to the fake, azhost and azidentity included. No
// variable does that for a [VM], and none says where the key files of an [Arc] are, so their Setenv
// fails the test.
//
// App Service, Service Fabric and Azure ML also demand a secret, which a credential reads from the
// environment at every request, whatever its options. So call Setenv for them in any case, and
// before a bubble starts, because it opens a socket. Service Fabric, whose certificate is pinned,
// has no in-memory transport.
//
// # Identities
//
// A new host has one system-assigned identity. SetIdentities replaces it, with [SystemAssigned] and
// [UserAssigned] identities or with none. Which one answers is decided as the real hosts do.
//
// # Tokens
//
// The tokens are JSON Web Tokens with honest claims, signed with a key of the fake's own. A
// service under test checks them with Verify or PublicKey, or with the key set at
// /.well-known/jwks.json. SetTokenLifetime, SetRefreshIn, ReuseTokens and SetClaims shape them,
// EditResponse changes the JSON around them.
//
// # Trouble
//
// Fail, FailWhile, FailUntil and FailRandomly answer requests with a [Fault]: a status, a header, a
// body, a delay, a dropped connection, a body that ends early. SetLatency, Throttle, Stop and
// Silence make the whole host slow, busy or absent. An [Arc] has trouble of its own: with its key
// files (SetKeyFault, SetKeyLifetime, RefuseKeys), its challenges (SetChallenge) and its agent
// (Restart, IgnoreSelectors), an [AppService] may rotate its secret (RotateHeader), and a
// [ServiceFabric] present a certificate that is not the pinned one (UseWrongCertificate).
//
// # Fidelity
//
// What the hosts' documentation or captured answers show is as they show it: statuses, fields and
// their types, the codes and the best-known texts of errors. Texts that are not public are made
// up, so no program should depend on them. Whether IMDS sends Retry-After and what an agent says
// to a wrong key is not known; the fakes send the first and repeat the challenge. Nor is it known
// what App Service, Service Fabric and Azure ML say to a wrong secret: the fakes say 401, 404 (no
// such application) and 401.
package azhosttest
