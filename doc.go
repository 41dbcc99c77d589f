// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azhost gets Microsoft Entra tokens for the managed identity of the machine that a
// program runs on: an Azure VM, an Azure Arc-enabled server, App Service and its relatives, Service
// Fabric, Cloud Shell, Azure ML.
//
// Its one credential, [ManagedIdentityCredential], is an azcore.TokenCredential for the clients
// of the Azure SDK, and a drop-in for the one of the same name in azidentity:
//
//	cred, err := azhost.NewManagedIdentityCredential(nil)
//	if err != nil {
//		return err
//	}
//	client, err := azsecrets.NewClient("https://my-vault.vault.azure.net", cred, nil)
//
// # Hosts
//
// The host is found once, at construction, from environment variables, then from the Arc agent's
// binary on disk; what is neither is taken for an Azure VM. [ManagedIdentityCredential.Source]
// and the log say what was found and why; [ManagedIdentityCredentialOptions.Source] pins it.
//
// App Service, Service Fabric, Cloud Shell and Azure ML say by variables where they are asked and
// what proves that the program is theirs; both are read again for every request. Service Fabric
// and Cloud Shell have one identity, which is not chosen here; Azure ML knows identities by client
// ID alone. Selecting another way is an error at construction.
//
// # Caching
//
// One token per resource is kept in memory. A valid one is returned without a lock, an
// allocation or a request. From the RefreshOn that the token carries (the host's refresh_in, or
// half of its life when more than two hours remain), or else in its last minutes, it is renewed
// in the background, by one request at a time; callers get the old token until it really
// expires. When there is none, all callers share one request, and each waits for it on its own
// context: the request goes on when one leaves, and ends when the last has left.
//
// Credentials with the same host, endpoint (chosen in the same way), identity, key directory and
// Transport share a cache if they have no policies of their own, and send at most four requests at a
// time to one endpoint. The cache outlives them. To share nothing, give each its own Transport.
//
// A request belongs to nobody: no value of a caller's context reaches it, be it a header, a span or
// a retry option. [ManagedIdentityCredential.Health] says how each resource fares.
//
// # Waiting
//
// A machine that is not on Azure gets its [*CredentialUnavailableError] at once where connecting
// is refused or something else answers, and after ConnectTimeout (2 s) where nothing does. On an
// Azure VM, known by its firmware or by an earlier answer of IMDS, the same symptoms are waited
// out as IMDS documents, for some 100 s; on an Arc-enabled server for some 10 s. The caller's
// context ends every wait. A failure is remembered for about a second, then tried again.
//
// A request that nobody waits for any more is cancelled; a refresh in the background goes on
// without its credential, for three minutes at the longest.
//
// # Errors
//
// There are two: [*CredentialUnavailableError], this machine has no managed identity to offer,
// and [*AuthenticationFailedError], everything else. Both say what was tried, what came back and
// what to do. Match them by type; their texts may change.
//
// # Security
//
// No request passes a proxy or follows a redirect. The Arc agent is asked on loopback only, and
// only a regular, small file directly in its key directory is ever read for its challenge,
// without following links. Service Fabric's certificate is checked against its thumbprint before
// anything is sent. No token, key or secret header is written to an error, a log line or
// a span. SECURITY.md has the threat model.
//
// # Platforms
//
// Linux and Windows on amd64 and arm64. On macOS everything builds; neither VM
// nor Arc agent exists there.
//
// # Testing
//
// Package azhosttest has fakes of the hosts, on loopback or in memory, for tests of programs that
// use this package.
package azhost
