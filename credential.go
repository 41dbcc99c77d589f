// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/tracing"
)

// ManagedIdentityCredential gets tokens for the managed identity of the machine that the program
// runs on. Make one with [NewManagedIdentityCredential]; the zero value is not usable. It is safe
// for concurrent use and needs no closing.
type ManagedIdentityCredential struct {
	cache            *cache
	revocable        *cache // of tokens for clients that handle their revocation; the same but on Service Fabric
	source           source
	name             Source
	tracer           tracing.Tracer
	traced           bool
	log              *slog.Logger
	unavailableError func(string) error
}

var _ azcore.TokenCredential = (*ManagedIdentityCredential)(nil)

// ManagedIDKind selects a user-assigned identity: a [ClientID], an [ObjectID] or a [ResourceID].
type ManagedIDKind interface {
	fmt.Stringer
	selector() (kind idKind, value string)
}

// ClientID selects a user-assigned identity by its client ID, also called application ID.
// ClientID("") is an error at construction; a nil ID means the system-assigned identity.
type ClientID string

// String returns the client ID.
func (c ClientID) String() string { return string(c) }

// ObjectID selects a user-assigned identity by its object ID, also called principal ID.
// ObjectID("") is an error at construction; a nil ID means the system-assigned identity.
type ObjectID string

// String returns the object ID.
func (o ObjectID) String() string { return string(o) }

// ResourceID selects a user-assigned identity by its Azure resource ID
// (/subscriptions/…/userAssignedIdentities/…). ResourceID("") is an error at construction; a nil
// ID means the system-assigned identity.
type ResourceID string

// String returns the resource ID.
func (r ResourceID) String() string { return string(r) }

type idKind string

const (
	byClientID   idKind = "client ID"
	byObjectID   idKind = "object ID"
	byResourceID idKind = "resource ID"
)

func (c ClientID) selector() (idKind, string)   { return byClientID, string(c) }
func (o ObjectID) selector() (idKind, string)   { return byObjectID, string(o) }
func (r ResourceID) selector() (idKind, string) { return byResourceID, string(r) }

// ManagedIdentityCredentialOptions are the options of [NewManagedIdentityCredential]. The zero
// value is the system-assigned identity of whichever host is found.
type ManagedIdentityCredentialOptions struct {
	// ClientOptions are honoured as every Azure SDK client honours them, with two exceptions:
	// APIVersion, which the host dictates, and Logging.IncludeBody, which would log tokens.
	//
	// With a nil Transport, requests never pass a proxy and never follow a redirect. An
	// *http.Client of your own is copied, without its redirects; switch its proxy off yourself. Any
	// other Transport is used as it is; a redirect that it has followed is an error after the fact.
	// On Service Fabric it must be an *http.Client whose Transport is nil or an *http.Transport; a
	// copy of that checks the host's certificate.
	//
	// Retry values that are zero get the host's documented schedule: on an Azure VM five retries
	// of 404, 410, 429 and 5xx over some 100 s, on Service Fabric five over a minute, elsewhere
	// azcore's defaults.
	azcore.ClientOptions

	// ID is the identity to use. Nil is the system-assigned identity; on an Azure VM that has
	// none, but exactly one user-assigned identity, IMDS uses that.
	ID ManagedIDKind

	// Source pins the host instead of detecting it. Empty means: detect.
	Source Source

	// Endpoint is the URL of the token endpoint, instead of the host's own. On Azure Arc it must
	// be a loopback address, because the challenge's key is sent to it; on Service Fabric an https
	// URL. The secret of a host that has one still comes from its variable.
	Endpoint string

	// ArcKeyDirectory is where the Arc agent's key files are mounted, for a container that sees
	// them elsewhere than the agent writes them. It must be an absolute path. Empty means the
	// agent's own directory: /var/opt/azcmagent/tokens on Linux,
	// %ProgramData%\AzureConnectedMachineAgent\Tokens on Windows.
	ArcKeyDirectory string

	// ConnectTimeout is how long connecting may take before a silent address counts as "nothing
	// here". Zero means 2 s, which a link-local neighbour meets many times over. It bounds the
	// connection alone, not the answer, and has no effect on a Transport of your own.
	ConnectTimeout time.Duration

	// Logger gets what was detected and why, acquired tokens (never their text), failures and
	// refreshes. A request is logged after its callers have their token, so a program that exits at
	// once may not see the last line. Nil logs nothing.
	Logger *slog.Logger

	// UnavailableError makes an error that a [CredentialUnavailableError] then wraps. Pass
	// azidentity.NewCredentialUnavailableError, and azidentity.ChainedTokenCredential moves on to
	// its next credential. Nil wraps nothing.
	UnavailableError func(message string) error
}

// NewManagedIdentityCredential finds out which host the program runs on, without touching the
// network, and returns the credential for it. Nil options are the zero options.
//
// It returns an error when an option is wrong, or does not fit the host, or when the host's
// variables are.
// It does not check that there is an identity: the first GetToken does.
//
// Credentials of one process that have the same host, endpoint, identity, key directory and
// Transport (nil, or one and the same pointer), and no policies of their own, share one token cache
// and one limit of four concurrent requests. The cache stays when they go, because there are programs
// that make a credential for every use. To share nothing, give each its own Transport. An endpoint
// that a platform's variable names may change, so it is never the same as one in Endpoint.
func NewManagedIdentityCredential(options *ManagedIdentityCredentialOptions) (*ManagedIdentityCredential, error) {
	var o ManagedIdentityCredentialOptions
	if options != nil {
		o = *options
	}
	c, err := newCredential(o)
	if err != nil {
		return nil, fmt.Errorf("azhost: %w", err)
	}
	return c, nil
}

// Source returns the host that was found or pinned.
func (c *ManagedIdentityCredential) Source() Source { return c.name }

// GetToken returns a token for the one scope in opts, from the cache where it can. The scope is
// the resource's identifier, with or without one trailing "/.default", which is cut off; nothing
// else of it is changed. Claims bypass the cache, and their token replaces the cached one. As
// with azidentity, TenantID and EnableCAE have no effect: a managed identity lives in one tenant.
//
// A valid token is returned at once, whatever the state of the host; it is refreshed in the
// background from its RefreshOn, or in its last minutes. In its last minute GetToken waits up to 2 s
// for the refresh under way, and returns the old token if that brings none. Without a valid token it
// waits until ctx ends, and at longest three minutes, provided that a Transport or policies of your own heed their
// context: on an Azure VM whose IMDS is unwell about 100 s, on Azure Arc about 10 s. Off Azure,
// where nothing connects, it returns within ConnectTimeout; what connects but does not answer is
// given a minute.
//
// Errors are [*AuthenticationFailedError] and [*CredentialUnavailableError]; a failure is
// remembered for about a second. GetToken is safe for concurrent use.
func (c *ManagedIdentityCredential) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(opts.Scopes) == 1 && opts.Claims == "" && !c.traced {
		if token, ok := c.cacheFor(opts).hit(strings.TrimSuffix(opts.Scopes[0], defaultScope), time.Now()); ok {
			return token, nil
		}
	}
	return c.getToken(ctx, opts)
}

// getToken is GetToken off the hit path: spans, checks, waiting, errors.
func (c *ManagedIdentityCredential) getToken(ctx context.Context, opts policy.TokenRequestOptions) (_ azcore.AccessToken, err error) {
	ctx, end := runtime.StartSpan(ctx, "ManagedIdentityCredential.GetToken", c.tracer, nil)
	defer func() { end(err) }()

	resource, err := resourceOf(opts.Scopes)
	if err != nil {
		return azcore.AccessToken{}, failed(nil, err, "%v", err)
	}
	fetch := func(ctx context.Context, resource, refused string) (azcore.AccessToken, error) {
		return c.fetch(ctx, want{resource, refused, opts.EnableCAE})
	}
	token, err := c.cacheFor(opts).get(ctx, resource, opts.Claims, fetch, c.log)
	if err != nil {
		return azcore.AccessToken{}, delivered(err, c.unavailableError)
	}
	return token, nil
}

// cacheFor returns the cache of the tokens that opts want.
func (c *ManagedIdentityCredential) cacheFor(opts policy.TokenRequestOptions) *cache {
	if opts.EnableCAE {
		return c.revocable
	}
	return c.cache
}

// fetch asks the host, in a flight.
func (c *ManagedIdentityCredential) fetch(ctx context.Context, w want) (_ azcore.AccessToken, err error) {
	ctx, end := runtime.StartSpan(ctx, "ManagedIdentityCredential.fetch", c.tracer, nil)
	defer func() { end(err) }()
	return c.source.fetch(ctx, w)
}

// defaultScope is what the Azure SDK appends to a resource to make a scope of it.
const defaultScope = "/.default"

// maxScope bounds a scope; the longest real ones are App ID URIs of a few hundred bytes.
const maxScope = 2048

// resourceOf returns the resource that the one scope names.
func resourceOf(scopes []string) (string, error) {
	if len(scopes) != 1 {
		return "", fmt.Errorf("GetToken requires exactly one scope, got %d", len(scopes))
	}
	scope := scopes[0]
	resource := strings.TrimSuffix(scope, defaultScope)
	switch {
	case resource == "" || resource == ".":
		return "", fmt.Errorf("scope %q names no resource; write for example https://vault.azure.net/.default", scope)
	case len(scope) > maxScope:
		return "", fmt.Errorf("scope of %d bytes; at most %d are accepted", len(scope), maxScope)
	case strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }):
		return "", fmt.Errorf("scope %q contains white space, control characters or invalid UTF-8", scope)
	}
	return resource, nil
}
