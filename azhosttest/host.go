// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"crypto/rand"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

// Host has the methods that all fakes share; each fake embeds it. They are safe for concurrent use.
// Changes take effect with the next request.
type Host struct {
	t           testing.TB // nil for a host made by a Listen function
	source      azhost.Source
	respond     func(*http.Request, *Request, settings) reply       // the protocol
	refuse      func(status int, code, text string) reply           // an error in the host's form
	unknown     func() reply                                        // the response for an unknown resource
	subject     func(claims map[string]any)                         // adapts the claims to this host; may be nil
	shape       func(fields map[string]any)                         // adapts the fields to this host; may be nil
	environment func(endpoint string, s settings) map[string]string // what Environment returns
	selectors   []string                                            // the parameters that select an identity
	path        string                                              // of the token endpoint
	address     string                                              // the real host's
	local       bool                                                // its URL says localhost
	form        bool                                                // its parameters are in the body
	machine     string                                              // the resource ID of the machine
	server      string                                              // the Server header, except in faults
	keys        string                                              // an Arc agent's key directory
	root        string                                              // begins the paths of the host's URLs; see newPath
	client      http.Client                                         // the Transport of Options
	atClose     func()
	signer      signer

	listener listener

	mu       sync.Mutex // guards the fields below; never held while waiting or calling back
	settings settings
	faults   []Fault
	underWay int
	recent   []time.Time // of the requests let through in the last second
	count    int
	tokens   int        // issued
	log      []*Request // the last maxLog requests, including their Status
	issued   map[grant]issued

	unexpired map[string]bool // the tokens issued since Expire; nil before the first Expire
}

// settings are what a test can change. A request uses the settings at its arrival.
type settings struct {
	identities        []Identity
	secret            string // the header that a client must send
	issuer            string // of tokens, without the tenant ID
	lifetime          time.Duration
	refreshIn         time.Duration
	sameToken         bool
	claims            map[string]any
	edit              func(map[string]any)
	resources         []string
	latency           time.Duration
	failWhile         func(Request) (Fault, bool)
	perSecond, atOnce int
	observer          func(Request)
	stopped, silent   bool
}

// tokenPath is the path of IMDS's token endpoint, and of the hosts modeled on it.
const tokenPath = "/metadata/identity/oauth2/token"

// newPath returns a random path element. Credentials with the same endpoint share a cache, so a host
// must not have the URL of an earlier host that had the same port.
func newPath() string { return "/" + strings.ToLower(rand.Text()[:10]) }

func (h *Host) init(t testing.TB) error {
	h.t = t
	h.root = newPath()
	h.client = http.Client{
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true}, // idle connections would outlive the test
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	h.settings.identities, h.settings.lifetime = []Identity{SystemAssigned()}, 24*time.Hour
	h.settings.secret, h.settings.issuer = rand.Text(), entra
	h.issued = map[grant]issued{}
	key, err := newSigner()
	h.signer = key
	return err
}

// SetIdentities replaces the host's identities. A host without identities rejects every request, as the real
// host does. A new host has one, [SystemAssigned].
func (h *Host) SetIdentities(ids ...Identity) {
	h.set(func() { h.settings.identities = slices.Clone(ids) })
}

// SetTokenLifetime sets how long new tokens are valid. The default is 24 hours. With zero or less, new
// tokens have already expired.
func (h *Host) SetTokenLifetime(d time.Duration) { h.set(func() { h.settings.lifetime = d }) }

// SetRefreshIn adds refresh_in to responses, in whole seconds. Zero, the default, omits it, as IMDS
// does.
func (h *Host) SetRefreshIn(d time.Duration) { h.set(func() { h.settings.refreshIn = d }) }

// ReuseTokens sets whether the host caches tokens as IMDS does: requests for the same identity and
// resource get the same token until it expires. By default, every request gets a new token. Calling
// ReuseTokens empties that cache.
func (h *Host) ReuseTokens(same bool) {
	h.set(func() { h.settings.sameToken = same; clear(h.issued) })
}

// SetClaims adds claims to new tokens, or replaces their values. If a claim can't be encoded as JSON,
// the host responds with status 500 and the reason.
func (h *Host) SetClaims(claims map[string]any) {
	h.set(func() { h.settings.claims = maps.Clone(claims) })
}

// AllowResources limits the resources that the host issues tokens for. Requests for others get
// [InvalidResource] or the host's equivalent. Resources are compared exactly. Without arguments,
// all resources are allowed, which is the default.
func (h *Host) AllowResources(known ...string) {
	h.set(func() { h.settings.resources = slices.Clone(known) })
}

// EditResponse calls edit with the JSON fields of every successful response before the host sends it,
// so that a test can drop, retype, or misspell them. Calls may be concurrent. Nil stops them.
func (h *Host) EditResponse(edit func(fields map[string]any)) {
	h.set(func() { h.settings.edit = edit })
}

// SetLatency delays every response.
func (h *Host) SetLatency(d time.Duration) { h.set(func() { h.settings.latency = d }) }

// Throttle limits the host to perSecond requests in any second and atOnce at a time. Other requests
// get status 429 in the host's form, with a Retry-After of one second. IMDS documents limits of 20
// and 5; other hosts document none. Zero, the default, means no limit.
func (h *Host) Throttle(perSecond, atOnce int) {
	h.set(func() { h.settings.perSecond, h.settings.atOnce = perSecond, atOnce })
}

// Silence makes connecting to the host hang, as with a firewall that drops packets, for 30 seconds or
// until the request's context is done. It affects only the in-memory transport, because loopback
// sockets always connect.
func (h *Host) Silence(silent bool) { h.set(func() { h.settings.silent = silent }) }

// OnRequest calls f after every response. Calls may be concurrent. Nil stops them.
func (h *Host) OnRequest(f func(Request)) { h.set(func() { h.settings.observer = f }) }

func (h *Host) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

func (h *Host) current() settings {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.settings
}

// Options returns new options for a credential that gets tokens from this host over loopback.
//
// The options always have the same Transport. So the credentials of one host share a token cache, as they do
// in production, and share nothing with those of another host. A test that needs an empty cache creates
// another host.
//
// The secrets of [AppService], [ServiceFabric], and [AzureML], and the thumbprint, always come from the
// environment, so call [Host.Setenv] too.
func (h *Host) Options() *azhost.ManagedIdentityCredentialOptions {
	return h.options(h.Endpoint(), &h.client)
}

// InMemory returns new options for a credential that gets tokens from this host without a socket, as a
// testing/synctest bubble requires. The credentials share a cache, but not with those that use Options.
//
// For a [VM], the options use IMDS's own address and set Source, so azhost knows that it is on Azure. It
// retries for about 100 s when the VM is stopped or fails, which takes no real time in a bubble. With
// Options, azhost learns this from the first response, as on a machine whose firmware is hidden.
//
// The key files of an [Arc] are real files even here. For the secrets of other hosts, call [Host.Setenv]
// before the bubble starts: it opens a socket, on which a bubble can't wait.
func (h *Host) InMemory() *azhost.ManagedIdentityCredentialOptions {
	endpoint := "http://" + h.address + h.path
	if h.source == azhost.SourceIMDS {
		endpoint = ""
	}
	return h.options(endpoint, h)
}

func (h *Host) options(endpoint string, transport policy.Transporter) *azhost.ManagedIdentityCredentialOptions {
	return &azhost.ManagedIdentityCredentialOptions{
		ClientOptions:   azcore.ClientOptions{Transport: transport},
		Source:          h.source,
		Endpoint:        endpoint,
		ArcKeyDirectory: h.keys,
	}
}

// Environment returns the environment variables that point clients to this host over loopback.
//
// [AppService], [ServiceFabric], [CloudShell], [AzureML], and [Arc] have the variables of the real hosts,
// which every client honors. But no variable tells a client where the key files of an Arc are. A [VM] has
// AZURE_POD_IDENTITY_AUTHORITY_HOST, which MSAL.NET, MSAL Python, and the Azure SDK for JavaScript honor;
// azhost and azidentity don't.
func (h *Host) Environment() map[string]string {
	endpoint := h.Endpoint()
	return h.environment(endpoint, h.current())
}

// Setenv sets the variables of [Host.Environment] until the test ends, and clears the variables that point to
// other hosts. As with [testing.T.Setenv], the test can't be parallel.
//
// For code that creates its own credential, use an [AppService]: its variables point every client to the
// fake. [VM.Setenv] and [Arc.Setenv] fail the test.
func (h *Host) Setenv(t testing.TB) {
	t.Helper()
	environment := h.Environment()
	for _, name := range []string{
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT",
		"MSI_ENDPOINT", "MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID", "AZURE_POD_IDENTITY_AUTHORITY_HOST",
	} {
		t.Setenv(name, environment[name])
	}
}

// closedBy closes a new host when its test ends.
func closedBy[H interface{ Close() }](t testing.TB, h H, err error) H {
	t.Helper()
	if err != nil {
		t.Fatalf("azhosttest: %v", err)
	}
	t.Cleanup(h.Close)
	return h
}

// listening returns a new host that listens at addr and isn't closed by a test.
func listening[H interface{ listenAt(addr string) error }](addr string, create func(testing.TB) (H, error)) (H, error) {
	h, err := create(nil)
	if err == nil {
		err = h.listenAt(addr)
	}
	if err != nil {
		var none H
		return none, err
	}
	return h, nil
}

// listenAt listens at an address. If the address has a port, the URLs are those of the real host, without a
// random element.
func (h *Host) listenAt(addr string) error {
	if _, port, _ := net.SplitHostPort(addr); port != "" && port != "0" {
		h.root = ""
	}
	return h.listener.open(addr, h)
}
