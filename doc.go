// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhost gets Microsoft Entra tokens for Azure managed identities: on Azure VMs, Azure
// Arc-enabled servers, App Service and related services, Service Fabric, Cloud Shell, and Azure ML.
//
// Its credential, [ManagedIdentityCredential], implements azcore.TokenCredential for the clients of
// the Azure SDK. It is a drop-in replacement for the credential of the same name in azidentity:
//
//	cred, err := azhost.NewManagedIdentityCredential(nil)
//	if err != nil {
//		return err
//	}
//	client, err := azsecrets.NewClient("https://my-vault.vault.azure.net", cred, nil)
//
// # Hosts
//
// The host is detected once, at construction: from environment variables, then from the Arc agent's
// binary on disk. If neither is found, azhost assumes an Azure VM. [ManagedIdentityCredential.Source]
// and the log say what was found and why; [ManagedIdentityCredentialOptions.Source] sets it.
//
// App Service, Service Fabric, Cloud Shell, and Azure ML provide their endpoint and secret in
// environment variables. azhost reads them again for each request. Service Fabric and Cloud Shell have
// a single identity that can't be selected; Azure ML selects identities by client ID only.
// NewManagedIdentityCredential returns an error for unsupported selectors.
//
// # Caching
//
// azhost keeps one token per resource in memory, and returns a valid token without a lock, an allocation,
// or a request. It refreshes the token in the background, one request at a time, from its RefreshOn: after
// the host's refresh_in, or after half the lifetime if more than two hours remain, but after 12 hours at
// the latest. Other tokens are refreshed in their last five minutes. Callers get the old token until it
// expires. Only in its last minute does a caller wait, up to 2 seconds, for a running refresh.
//
// If there is no valid token, all callers share one request, and each waits for it with its own context.
// The request doesn't use the context of the caller that started it: no deadline, values, spans, or retry
// options. When the last caller leaves, the current attempt is finished and its token is kept. azhost
// makes no further attempts.
//
// Credentials with the same configuration share a cache, which outlives them;
// [NewManagedIdentityCredential] says when. [ManagedIdentityCredential.Tokens] yields each refreshed
// token, for programs that store it. [ManagedIdentityCredential.Invalidate] drops a token that a service
// rejected. [ManagedIdentityCredential.Health] and [ManagedIdentityCredentialOptions.Observe] show the
// state of tokens and requests.
//
// # Waiting
//
// azhost retries only if it knows that the host exists; otherwise it makes one attempt. It knows App
// Service and the other hosts with variables by these. It knows an Azure VM by its firmware, by the
// variables of a container group, by an earlier response from IMDS, or because
// [ManagedIdentityCredentialOptions.Source] is SourceIMDS. It then retries for about 100 seconds, on the
// schedule that IMDS documents; on an Arc-enabled server, for about 10 seconds. Rejected requests are not
// retried. After a whole schedule has failed, requests make one attempt each for five minutes, or until
// the host recovers.
//
// Outside Azure, GetToken returns a [*CredentialUnavailableError] immediately if the connection is
// refused or something other than IMDS responds, and after ConnectTimeout (2 seconds by default) if no
// connection is made. If something accepts the connection but doesn't respond, that takes a minute. A
// caller stops waiting when its context is done. A failure is remembered for about a second, or for as
// long as the host asks with Retry-After, up to two minutes.
//
// # Errors
//
// [*CredentialUnavailableError] reports that this machine has no managed identity to offer;
// [*AuthenticationFailedError] reports all other failures. Both say what was tried, what came back, and
// what to do. Match them by type; their texts may change.
//
// # Security
//
// Requests never go through a proxy and never follow a redirect. The Arc agent is asked on loopback
// only, and only a small regular file directly in its key directory is read for its challenge,
// without following links. Service Fabric's certificate is checked against its thumbprint before
// anything is sent. No token, key, or secret header is written to an error, a log line, or a span.
// SECURITY.md has the threat model.
//
// # Operating systems
//
// azhost supports Linux and Windows on amd64 and arm64. It also builds on macOS, which has no managed
// identity hosts.
//
// # Testing
//
// Package azhosttest has fakes of the hosts, over loopback or, except for Service Fabric, in memory, for tests of programs that use
// this package.
package azhost
