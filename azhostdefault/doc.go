// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhostdefault is azidentity's DefaultAzureCredential with azhost as its managed identity
// credential. In code that calls azidentity.NewDefaultAzureCredential, only the import changes:
//
//	cred, err := azhostdefault.NewDefaultAzureCredential(nil)
//
// # Order
//
// The credential tries the same sources as azidentity's, in the same order, and keeps the first one
// that returns a token:
//
//  1. azidentity.EnvironmentCredential
//  2. azidentity.WorkloadIdentityCredential
//  3. [azhost.ManagedIdentityCredential], in the place of azidentity.ManagedIdentityCredential
//  4. azidentity.AzureCLICredential
//  5. azidentity.AzureDeveloperCLICredential
//  6. azidentity.AzurePowerShellCredential
//
// AZURE_TOKEN_CREDENTIALS selects among them, AZURE_CLIENT_ID selects a user-assigned identity, and
// every other variable and option has the effect that it has in azidentity v1.15.0. As in
// azidentity, a source that is configured and fails ends the search, except for the developer tools.
//
// # Differences
//
// Only managed identities behave differently:
//
//   - Where something other than IMDS answers at IMDS's address, such as another cloud's metadata
//     service or a captive portal, the chain moves on at the first response. azidentity retries for
//     about 100 seconds, then fails.
//   - On a machine that is known to be an Azure VM, azhost waits for an IMDS that is late or
//     updating. azidentity gives up on IMDS if it doesn't respond within 1 second.
//   - With no sign of Azure and no answer, azhost gives up after 2 seconds instead of 1.
//   - Tokens are cached, shared, and refreshed in the background as package azhost documents.
//     Requests to IMDS and Azure Arc don't use proxies.
//   - Errors have azhost's text. errors.As finds *[azidentity.AuthenticationFailedError], with its
//     RawResponse, where azidentity returns one.
//
// # Cost
//
// This package adds azidentity and MSAL to your build. A program that needs managed identities
// alone can use package azhost, which requires neither.
package azhostdefault
