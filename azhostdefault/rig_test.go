// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhostdefault_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost/azhostdefault"
	"github.com/azhost/azhost/azhosttest"
)

// The tests set the environment, so none of them is parallel. azure responds to every request in memory.

// variables are those that azidentity or azhost reads.
var variables = []string{
	"AZURE_TOKEN_CREDENTIALS", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET",
	"AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_CLIENT_SEND_CERTIFICATE_CHAIN",
	"AZURE_USERNAME", "AZURE_PASSWORD", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_ADDITIONALLY_ALLOWED_TENANTS",
	"AZURE_AUTHORITY_HOST", "AZURE_REGIONAL_AUTHORITY_NAME", "AZURE_POD_IDENTITY_AUTHORITY_HOST",
	"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IDENTITY_API_VERSION",
	"IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID",
}

func TestMain(m *testing.M) {
	for _, name := range variables {
		_ = os.Unsetenv(name) // fails for an invalid name only
	}
	os.Exit(m.Run())
}

// setenv sets variables for the duration of a test.
func setenv(t *testing.T, environment map[string]string) {
	t.Helper()
	for name, value := range environment {
		t.Setenv(name, value)
	}
}

var (
	system = azhosttest.SystemAssigned()
	user   = azhosttest.UserAssigned("user")
)

const (
	tenant      = "11111111-1111-1111-1111-111111111111"
	otherTenant = "22222222-2222-2222-2222-222222222222"
	thirdTenant = "33333333-3333-3333-3333-333333333333"
)

// host is what the fakes of azhosttest have in common.
type host interface {
	policy.Transporter
	Setenv(testing.TB)
	Verify(token string) (map[string]any, error)
}

// azure is everything that a credential can send requests to.
type azure struct {
	vm   *azhosttest.VM
	host host // what responds to requests for a managed identity; nil if nothing does
	deny bool // Entra rejects every request

	mu     sync.Mutex
	events []string // the requests in order, without repetitions
	probed bool     // IMDS got a probe, as azidentity sends before a token request
}

func newAzure(t *testing.T) *azure {
	a := &azure{vm: azhosttest.NewVM(t)}
	a.vm.SetIdentities(system, user)
	return a
}

func (a *azure) record(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	event := fmt.Sprintf(format, args...)
	if last := len(a.events) - 1; last < 0 || a.events[last] != event {
		a.events = append(a.events, event)
	}
}

// Do implements [policy.Transporter].
func (a *azure) Do(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "https" {
		return a.entra(req)
	}
	a.record("%s", req.URL.Host)
	a.probed = a.probed || req.URL.Hostname() == "169.254.169.254" && req.Header.Get("Metadata") == ""
	if a.host == nil {
		address := &net.TCPAddr{IP: net.ParseIP(req.URL.Hostname()), Port: 80}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return a.host.Do(req)
}

// transport makes an azure the Transport of only one credential, because azhost's credentials with the same
// Transport share tokens and failures.
type transport struct{ *azure }

// entra responds as Microsoft Entra ID does to the requests that MSAL sends.
func (a *azure) entra(req *http.Request) (*http.Response, error) {
	status, fields := http.StatusOK, map[string]any{}
	base := "https://" + req.URL.Host + "/" + strings.Split(req.URL.Path, "/")[1]
	switch path := req.URL.Path; {
	case strings.HasSuffix(path, "/discovery/instance"):
		fields["tenant_discovery_endpoint"] = req.URL.Query().Get("authorization_endpoint")
		fields["metadata"] = []any{}
	case strings.HasSuffix(path, "/openid-configuration"):
		fields["issuer"], fields["token_endpoint"] = base+"/v2.0", base+"/oauth2/v2.0/token"
		fields["authorization_endpoint"] = base + "/oauth2/v2.0/authorize"
	case strings.Contains(path, "/UserRealm/"):
		fields["account_type"], fields["domain_name"], fields["cloud_instance_name"] = "Managed", "example.com", "microsoftonline.com"
	case a.deny:
		status, fields["error"], fields["error_description"] = http.StatusUnauthorized, "invalid_client", "AADSTS7000215: Invalid client secret."
	default:
		fields["access_token"], fields["expires_in"], fields["token_type"] = "Entra", 3600, "Bearer"
	}
	proof := ""
	if req.Body != nil {
		if err := req.ParseForm(); err != nil {
			return nil, err
		}
		for _, name := range []string{"client_secret", "client_assertion", "username"} {
			if req.PostForm.Has(name) {
				proof += " with " + name
			}
		}
	}
	a.record("%s %s%s%s", req.Method, req.URL.Host, req.URL.Path, proof)
	body, err := json.Marshal(fields)
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Request: req,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
	}, err
}

// resources counts the scopes. Each is new, because MSAL caches the tokens of managed identities for the
// whole process.
var resources atomic.Int64

func newScope() string { return fmt.Sprintf("https://resource-%d.example/.default", resources.Add(1)) }

// constructor makes a credential of one of the two packages.
type constructor func(*azidentity.DefaultAzureCredentialOptions) (azcore.TokenCredential, error)

func newOwn(o *azidentity.DefaultAzureCredentialOptions) (azcore.TokenCredential, error) {
	return azhostdefault.NewDefaultAzureCredential(o)
}

func newPeer(o *azidentity.DefaultAzureCredentialOptions) (azcore.TokenCredential, error) {
	return azidentity.NewDefaultAzureCredential(o)
}

// outcome is what a caller of a credential sees.
type outcome struct {
	Constructor string   // the error's text
	Token       string   // the token's owner
	Failed      bool     // the error is azidentity's AuthenticationFailedError
	Status      int      // of its response
	Heading     string   // the error's text before the attempts
	Attempts    []string // what the error says about each credential, in order
	Events      []string // the requests and the tools that were run, in order
}

// managed replaces the managed identity's text in Attempts, which differs between the packages.
const managed = "managed identity"

// try constructs a credential and gets a token.
func (a *azure) try(t *testing.T, create constructor, o azidentity.DefaultAzureCredentialOptions, opts policy.TokenRequestOptions) outcome {
	t.Helper()
	a.events, a.probed = nil, false
	o.Transport, o.Retry.MaxRetries = &transport{a}, -1
	var seen outcome
	cred, err := create(&o)
	if err != nil {
		return outcome{Constructor: err.Error()}
	}
	token, err := cred.GetToken(t.Context(), opts)
	seen.Events = a.events
	if err == nil {
		seen.Token = token.Token
		if a.host != nil {
			if claims, err := a.host.Verify(token.Token); err == nil {
				seen.Token = fmt.Sprint(managed, " ", claims["oid"])
			}
		}
		if !token.ExpiresOn.After(time.Now()) {
			t.Errorf("the token has expired: %v", token.ExpiresOn)
		}
		return seen
	}
	failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](err)
	if seen.Failed = ok; ok && failed.RawResponse != nil {
		seen.Status = failed.RawResponse.StatusCode
	}
	heading, attempts, _ := strings.Cut(err.Error(), "Attempted credentials:\n\t")
	seen.Heading = heading
	for attempt := range strings.SplitSeq(attempts, "\n\t") {
		switch {
		case strings.HasPrefix(attempt, "\t"): // belongs to the previous credential
		case strings.HasPrefix(attempt, "ManagedIdentityCredential"):
			seen.Attempts = append(seen.Attempts, managed)
		default:
			seen.Attempts = append(seen.Attempts, attempt)
		}
	}
	return seen
}
