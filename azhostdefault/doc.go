// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhostdefault is azidentity's DefaultAzureCredential with azhost as its managed identity
// credential. In a file that uses nothing else from azidentity, only the import changes:
//
//	import azidentity "github.com/azhost/azhost/azhostdefault"
//
//	cred, err := azidentity.NewDefaultAzureCredential(nil)
//
// # Order
//
// The credential tries the same sources as azidentity v1.15.0, in the same order, and keeps the
// first one that returns a token:
//
//  1. [azidentity.EnvironmentCredential]
//  2. [azidentity.WorkloadIdentityCredential]
//  3. [azhost.ManagedIdentityCredential], which replaces azidentity's
//  4. [azidentity.AzureCLICredential]
//  5. [azidentity.AzureDeveloperCLICredential]
//  6. [azidentity.AzurePowerShellCredential]
//
// AZURE_TOKEN_CREDENTIALS selects some of them, AZURE_CLIENT_ID selects a user-assigned identity,
// and all other variables and options have the same effect as in azidentity. Also as in
// azidentity, a configured credential that fails ends the search, unless it belongs to a developer
// tool.
//
// # Differences
//
// Only managed identities behave differently:
//
//   - If another cloud's metadata service responds at IMDS's address, the credential tries the next
//     source at once. azidentity fails; if the status is 404, it first retries for about 100 seconds.
//   - If it can't connect to IMDS, the credential tries the next source after 2 seconds instead of 1,
//     or after the timeout of the Transport in ClientOptions. If AZURE_TOKEN_CREDENTIALS is prod,
//     no source follows, so on an Azure VM, azhost retries for about 100 seconds.
//   - If AZURE_TOKEN_CREDENTIALS is ManagedIdentityCredential and the machine has no managed
//     identity, the error makes an outer chain try its next credential.
//   - Tokens are cached and refreshed as package azhost documents. Unless ClientOptions has a
//     Transport, requests for them never use a proxy.
//   - White space around AZURE_CLIENT_ID is removed, and a blank value selects the system-assigned
//     identity. azidentity sends the white space to the host, and skips the managed identity if the
//     value is empty.
//   - In errors, the text after "ManagedIdentityCredential:" is azhost's. As with azidentity, errors.As
//     finds an [azidentity.AuthenticationFailedError] with its RawResponse. A type assertion doesn't.
//     The error that errors.As finds has a different text, so log the error that GetToken returned.
//
// # Cost
//
// This package adds azidentity and MSAL to your build: about 2 MB and 40 packages more than azhost
// alone. If your program needs only managed identities, use package azhost.
package azhostdefault
