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
// azhost detects the host once, at construction, from environment variables or else from the Arc agent's
// binary on disk. If it finds neither, it assumes an Azure VM. [ManagedIdentityCredential.Source] returns the
// host, and the log has the reason. Set [ManagedIdentityCredentialOptions.Source] to skip detection.
//
// App Service, Service Fabric, Azure ML, and Cloud Shell provide their endpoint in environment variables; all
// except Cloud Shell also provide a secret. azhost reads the variables again for each request. Service Fabric
// and Cloud Shell have a single identity that can't be selected; Azure ML selects identities by client ID
// only. NewManagedIdentityCredential returns an error for unsupported selectors.
//
// # Caching
//
// azhost keeps one token per resource in memory. It returns a token that isn't due for refresh without a
// lock, an allocation, or a request. The first call after a token's RefreshOn starts a refresh in the
// background. Only one refresh per resource runs at a time. The host's refresh_in sets RefreshOn; without it,
// RefreshOn is at half the lifetime if more than two hours remain. RefreshOn is at most 12 hours away. A
// token without RefreshOn is refreshed in its last five minutes. Callers get the old token until it expires.
// Only in its last minute does a caller wait, up to 2 seconds, for a running refresh.
//
// If there is no valid token, all callers share one request, and each waits for it with its own context. The
// request itself uses no caller's context: no deadline, values, spans, or retry options. When the last caller
// stops waiting, azhost finishes the current attempt, keeps its token, and makes no further attempts.
//
// Credentials with the same configuration share a cache, which outlives them; see
// [NewManagedIdentityCredential]. [ManagedIdentityCredential.Tokens] yields each refreshed token, for
// programs that store it. [ManagedIdentityCredential.Invalidate] drops a token that a service rejected.
// [ManagedIdentityCredential.Health] shows the state of tokens, and
// [ManagedIdentityCredentialOptions.Observe] the outcome of requests.
//
// # Waiting
//
// azhost retries only if it knows that the host exists; otherwise it makes one attempt. It knows this from
// environment variables (of App Service, Service Fabric, Azure ML, Cloud Shell, Azure Arc, and Azure
// Container Instances), from the Arc agent on disk, from an Azure VM's firmware, from an earlier response of
// IMDS, or from [ManagedIdentityCredentialOptions.Source]. It then retries for about 100 seconds, on the
// schedule that IMDS documents; on an Arc-enabled server, for about 10 seconds. Rejected requests are not
// retried. After a whole schedule has failed, requests make one attempt each for five minutes, or until the
// host recovers.
//
// Outside Azure, GetToken returns a [*CredentialUnavailableError] immediately if the connection is refused or
// something other than IMDS responds, and after ConnectTimeout (2 seconds by default) if no connection is
// made. If something accepts the connection but doesn't respond, GetToken returns the error after a minute. A
// caller stops waiting when its context is done. A failure is cached for about a second, or for as long as
// the host asks with Retry-After, up to two minutes.
//
// # Errors
//
// [*CredentialUnavailableError] reports that this machine has no managed identity to offer;
// [*AuthenticationFailedError] reports all other failures. Both say what was tried, what came back, and
// what to do. Match them by type; their texts may change.
//
// # Security
//
// Unless you set a Transport, requests never go through a proxy and never follow a redirect. Requests to the
// Arc agent go only to loopback addresses. To answer the agent's challenge, azhost reads only a small regular
// file directly in the agent's key directory, and follows no links. It checks Service Fabric's certificate
// against its thumbprint before it sends anything. It writes no token, key, or secret header to an error, a
// log line, or a span. SECURITY.md has the threat model.
//
// # Operating systems
//
// azhost supports Linux and Windows on amd64 and arm64. It also builds on macOS, which has no managed
// identity hosts.
//
// # Testing
//
// Package azhosttest has fakes of the hosts for tests of programs that use this package. The fakes listen on
// loopback or, except for Service Fabric, work in memory.
package azhost
