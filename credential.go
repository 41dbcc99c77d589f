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
)

// ManagedIdentityCredential gets tokens for the managed identity of the machine that the program runs on.
// Make one with [NewManagedIdentityCredential]; the zero value is not usable. It is safe for concurrent use
// and doesn't need to be closed.
type ManagedIdentityCredential struct {
	// Written at construction.
	name             Source
	cache            *cache
	revocable        *cache         // of tokens for clients that handle revocation; the same cache, except on Service Fabric
	client           func() *client // creates the client at the first call
	requester        requester
	traced           bool
	unavailableError func(string) error
}

var _ azcore.TokenCredential = (*ManagedIdentityCredential)(nil)

// ManagedIDKind selects a user-assigned identity: a [ClientID], an [ObjectID], or a [ResourceID].
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

// ManagedIdentityCredentialOptions are the options of [NewManagedIdentityCredential]. The zero value selects
// the system-assigned identity of the detected host.
type ManagedIdentityCredentialOptions struct {
	// ClientOptions are honored as every Azure SDK client honors them, with two exceptions:
	// APIVersion, which the host dictates, and Logging.IncludeBody, which would log tokens.
	//
	// If Transport is nil, requests never go through a proxy and never follow a redirect. If it is an
	// *http.Client, azhost uses a copy of it that doesn't follow redirects; disable its proxy yourself.
	// Except for IMDS, if the client's own Transport is nil or an *http.Transport, the copy also opens a new
	// connection for each request and dials localhost as 127.0.0.1. Any other Transport is used as is; a
	// redirect that it followed is an error. On Service Fabric, Transport must be an *http.Client whose own
	// Transport is nil or an *http.Transport; azhost adds the check of the host's certificate to a copy. A
	// Transport must honor its request's context.
	//
	// Retry values that are zero get the host's schedule. On an Azure VM, that is up to five retries of 404,
	// 408, 410, 429, and 5xx over about 100 s, as IMDS documents. App Service, Service Fabric, Azure ML, and
	// Cloud Shell get the same schedule, but 404 is final. Azure Arc gets up to three retries of 408, 429,
	// 500, 502, 503, and 504 over about 10 s. After a whole schedule has failed, requests to that endpoint
	// make one attempt each for five minutes or until the host recovers. TryTimeout limits one attempt; the
	// default is one minute. It doesn't include the wait for an attempt's turn: azhost makes at most four at
	// a time to one endpoint.
	azcore.ClientOptions

	// ID is the identity to use. Nil means the system-assigned identity. On an Azure VM that has none, but
	// exactly one user-assigned identity, IMDS uses that one.
	ID ManagedIDKind

	// Source sets the host instead of detecting it. With SourceIMDS and no Endpoint, azhost also retries as
	// on a known Azure VM.
	Source Source

	// Endpoint is the URL of the token endpoint to use instead of the host's own. On Azure Arc, it must be a
	// loopback address, because azhost sends the agent's key to it; on Service Fabric, an https URL. If the
	// host requires a secret, azhost still reads the secret from its environment variable.
	Endpoint string

	// ArcKeyDirectory is the directory with the Arc agent's key files, if it is mounted elsewhere, such as
	// in a container. It must be an absolute path. The default is the agent's own directory:
	// /var/opt/azcmagent/tokens on Linux, %ProgramData%\AzureConnectedMachineAgent\Tokens on Windows.
	ArcKeyDirectory string

	// ConnectTimeout is how long to wait for a connection before azhost treats the endpoint as absent. The
	// default, 2 seconds, is far longer than a link-local connection takes. It doesn't limit the wait for a
	// response, and has no effect on a custom Transport.
	ConnectTimeout time.Duration

	// Logger receives the detected host and the reason (Info), each token acquired (Info), each attempt
	// (Debug), failures (Warn), and panics in your policies or Transport (Error). The lines contain no
	// secrets. The constructor logs before it returns. All other lines are written on a separate goroutine,
	// so a slow handler doesn't delay callers, but a program that exits immediately may lose the last lines.
	// If Logger is nil and the environment variable AZURE_SDK_GO_LOGGING is "all", the lines go to standard
	// error, like those of the Azure SDK.
	Logger *slog.Logger

	// Observe, if set, is called after each token request that this credential started, including background
	// refreshes. Use it to count requests by outcome. It runs on its own goroutine and doesn't delay callers.
	// Credentials that share a cache share requests; only the credential whose call started a request
	// observes it.
	Observe func(Event)

	// UnavailableError, if set, creates an additional error for [CredentialUnavailableError] to wrap. With
	// azidentity.NewCredentialUnavailableError, azidentity.ChainedTokenCredential continues with its next
	// credential. If all fail, the chain returns its own error type with this error's text. errors.As doesn't
	// find azhost's types in it, so log the details that you need in this function.
	UnavailableError func(message string) error
}

// NewManagedIdentityCredential detects the host that the program runs on, without network access, and
// returns a credential for it. Nil options mean the defaults.
//
// It returns an error if an option is invalid or unsupported on the host. An ID is invalid if it is empty or
// contains white space, quotes, or "${". A ClientID or ObjectID is also invalid if it contains a slash, and a
// ResourceID if it is a GUID. Any other text is accepted. Errors in the environment, such as an invalid URL
// in IDENTITY_ENDPOINT, are logged, and GetToken returns them as a [*CredentialUnavailableError]. The
// constructor doesn't check that the identity exists; GetToken does.
//
// A credential that sets policies, StatusCodes, or ShouldRetry shares nothing. Other credentials of one
// process share the limits on requests if they have the same endpoint and Transport (nil, or the same
// pointer): 4 requests at a time, and to IMDS at most 20 in any second. They also share a token cache if they
// have the same host, identity, key directory, MaxRetries, TryTimeout, RetryDelay, and MaxRetryDelay. The
// cache outlives the credentials, so creating one for each use is cheap. At most 1,000 caches are kept. To
// share nothing, give each credential its own Transport.
//
// Except on Azure Arc, credentials that read their endpoint from the environment never share a cache with
// credentials that set Endpoint. A credential that sets Source to SourceIMDS, but not Endpoint, always
// retries, so it shares no cache with one that leaves Source empty.
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

// Source returns the host that was detected or set.
func (c *ManagedIdentityCredential) Source() Source { return c.name }

// GetToken returns a token for the one scope in opts, from the cache if possible. The scope is the
// resource's identifier, optionally followed by "/.default", which is removed. The rest is used as is.
//
// GetToken returns a valid token at once, whatever the state of the host. After the token's RefreshOn or,
// without one, in its last minutes, GetToken starts a refresh in the background. In the token's last minute,
// GetToken waits up to 2 s for a running refresh. If the refresh fails, GetToken returns the old token.
//
// Without a valid token, GetToken waits until ctx is done, but at most three minutes. It gives up after about
// 10 s if the Arc agent keeps failing, and after about 100 s if another detected host does. Outside Azure, it
// returns at once if the connection is refused or something other than IMDS responds, after ConnectTimeout if
// no connection is made, and after a minute if something accepts the connection but doesn't respond. Custom
// Transports and policies must honor their context.
//
// If opts has Claims, because the service rejected the token, GetToken bypasses the cache and replaces
// the cached token. It tells Service Fabric and the Arc agent to return a new one; other hosts may return
// the same token again. As with azidentity, TenantID has no effect, because a managed identity belongs to
// one tenant. EnableCAE has an effect only on Service Fabric, whose tokens can be revoked.
//
// Errors are [*AuthenticationFailedError] and [*CredentialUnavailableError]. A failure is cached for about a
// second, or for as long as the host asks with Retry-After, but at most two minutes. If ctx is done first,
// the error includes the last attempt's failure. When the last caller stops waiting during an attempt,
// azhost finishes the attempt and keeps its token.
//
// GetToken is safe for concurrent use. It must not be called by a policy or Transport of the same credential,
// nor by a Transport during the request of another credential that shares its limits on requests.
func (c *ManagedIdentityCredential) GetToken(ctx context.Context, opts policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if len(opts.Scopes) == 1 && opts.Claims == "" && !c.traced {
		if token, ok := c.cacheFor(opts).hit(strings.TrimSuffix(opts.Scopes[0], defaultScope), time.Now()); ok {
			return token, nil
		}
	}
	return c.getToken(ctx, opts)
}

// getToken is the slow path of GetToken, with spans, checks, waiting, and errors.
func (c *ManagedIdentityCredential) getToken(ctx context.Context, opts policy.TokenRequestOptions) (_ azcore.AccessToken, err error) {
	if ctx == nil {
		return azcore.AccessToken{}, failed(nil, nil, "GetToken was called with a nil context")
	}
	defer func() { // from ctx, the tracer, or UnavailableError
		if r := recover(); r != nil {
			err = failed(nil, nil, "panic in the caller's context, tracer or UnavailableError: %s", panicText(r))
		}
	}()
	if c.traced {
		var end func(error)
		ctx, end = runtime.StartSpan(ctx, "ManagedIdentityCredential.GetToken", c.client().Tracer(), nil)
		defer func() { end(err) }()
	}
	// It would wait for itself, or for the slot that its own request holds.
	if p, ok := ctx.Value(progressKey{}).(*progress); ok && (p.cache == c.cacheFor(opts) || p.flight.gate == c.requester.gate) {
		return azcore.AccessToken{}, failed(nil, nil, "GetToken was called by a policy or Transport of its own token request, which would deadlock")
	}
	resource, err := resourceOf(opts.Scopes)
	if err != nil {
		return azcore.AccessToken{}, failed(nil, err, "%v", err)
	}
	token, err := c.cacheFor(opts).get(ctx, resource, opts.Claims, &c.requester)
	if err != nil {
		return azcore.AccessToken{}, delivered(err, c.unavailableError)
	}
	return token, nil
}

// cacheFor returns the cache for requests with opts.
func (c *ManagedIdentityCredential) cacheFor(opts policy.TokenRequestOptions) *cache {
	if opts.EnableCAE {
		return c.revocable
	}
	return c.cache
}

// defaultScope is the suffix that the Azure SDK appends to a resource to form a scope.
const defaultScope = "/.default"

// maxScope is the length of the longest scope that is accepted. The longest real ones are App ID URIs of a
// few hundred bytes.
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
		return "", fmt.Errorf("scope %q has no resource. Use a scope such as https://vault.azure.net/.default", scope)
	case len(scope) > maxScope:
		return "", fmt.Errorf("scope of %d bytes; at most %d are accepted", len(scope), maxScope)
	case strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\uFFFD' }):
		return "", fmt.Errorf("scope %q contains white space, control characters or invalid UTF-8", scope)
	}
	return resource, nil
}
