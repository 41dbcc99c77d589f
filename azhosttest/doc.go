// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhosttest provides fakes of the hosts that azhost gets tokens from. Use them to test
// programs that use azhost. The hosts are an Azure VM ([NewVM]), an Azure Arc-enabled server
// ([NewArc]), App Service ([NewAppService]), Service Fabric ([NewServiceFabric]), Cloud Shell
// ([NewCloudShell]), and Azure ML ([NewAzureML]). The fakes speak the hosts' protocols, reject what
// the hosts reject, and fail when a test tells them to.
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
// retries, throttling, and expiry take no real time. Create the fake, or a Transport that replaces
// it, in the bubble that uses it: credentials that share a Transport share channels, which only the
// bubble that created them can use.
//
// As in production, credentials share a token cache: those with Options of the same fake share one,
// and those with InMemory share another. Different fakes share nothing. If a test needs an empty
// cache, create another fake.
//
// For code that creates its own credential, use an [AppService] and call [Host.Setenv]. Every client
// library, including azhost and azidentity, reads the variables IDENTITY_ENDPOINT and
// IDENTITY_HEADER. No variable sets the endpoint of a [VM] or the key directory of an [Arc], so
// their Setenv fails the test.
//
// App Service, Service Fabric, and Azure ML require a secret. azhost always reads it from the
// environment, even if the endpoint comes from options. For these hosts, call Setenv too when you use
// Options or InMemory. Call it before a bubble starts, because it opens a socket. Service Fabric has
// no in-memory transport, because its certificate is pinned.
//
// # Identities
//
// A new fake has one system-assigned identity. [Host.SetIdentities] replaces it with any number of
// [SystemAssigned] and [UserAssigned] identities. The fake selects one for each request, as the real
// host does.
//
// # Tokens
//
// Tokens are signed JSON Web Tokens with realistic claims. Every fake has its own key. A service under
// test can check tokens with [Host.Verify] or [Host.PublicKey], or get the key by OpenID Connect
// discovery ([Host.ServeIssuer]).
//
// SetTokenLifetime, SetRefreshIn, and SetClaims affect new tokens. ReuseTokens makes the fake cache
// tokens as IMDS does. EditResponse changes the JSON fields of a response. Expire makes Verify reject
// all tokens that were issued before.
//
// # Failures
//
// Fail, FailWhile, FailUntil, and FailRandomly replace responses with a [Fault]: a status, header,
// and body, a delay, a dropped connection, or a truncated body. SetLatency slows down the host,
// Throttle limits its requests, and Stop and Silence make it unreachable.
//
// An [Arc] can also have problems with its key files (SetKeyFault, SetKeyLifetime, RefuseKeys) and
// challenges (SetChallenge), restart (Restart), or ignore selectors as old agents do
// (IgnoreSelectors). An [AppService] can rotate its secret (RotateHeader), and a [ServiceFabric] can
// present the wrong certificate (UseWrongCertificate).
//
// # Assertions
//
// RequireTokens, RequireRequests, and RequireResource fail the test unless the program sent the
// expected requests. Requests returns the requests.
//
// # Fidelity
//
// The fakes reproduce documented and captured responses exactly: statuses, fields and their types,
// error codes, and the best-known error texts. All other texts are invented, because the real ones
// aren't public. Don't depend on them.
//
// Some behavior of the real hosts isn't documented. The fakes assume that a throttled host sends
// Retry-After, that an Arc agent responds to a wrong key with another challenge, and that the
// response to a wrong secret is 401 on App Service and Azure ML and 404 on Service Fabric.
package azhosttest
