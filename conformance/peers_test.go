// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// maker returns a credential of a library. The kind of id is "client", "object", or "resource"; it is ""
// for the system-assigned identity.
type maker func(o azcore.ClientOptions, kind, id string) (azcore.TokenCredential, error)

func newAzidentity(o azcore.ClientOptions, kind, id string) (azcore.TokenCredential, error) {
	return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: o, ID: map[string]azidentity.ManagedIDKind{
		"client": azidentity.ClientID(id), "object": azidentity.ObjectID(id), "resource": azidentity.ResourceID(id),
	}[kind]})
}

func azhostOptions(o azcore.ClientOptions, kind, id string) *azhost.ManagedIdentityCredentialOptions {
	return &azhost.ManagedIdentityCredentialOptions{ClientOptions: o, ID: map[string]azhost.ManagedIDKind{
		"client": azhost.ClientID(id), "object": azhost.ObjectID(id), "resource": azhost.ResourceID(id),
	}[kind]}
}

func newAzhost(o azcore.ClientOptions, kind, id string) (azcore.TokenCredential, error) {
	return azhost.NewManagedIdentityCredential(azhostOptions(o, kind, id))
}

// onVM returns a credential that knows that this is an Azure VM, on any machine.
func onVM(o azcore.ClientOptions, kind, id string) (azcore.TokenCredential, error) {
	options := azhostOptions(o, kind, id)
	options.Source = azhost.SourceIMDS
	return azhost.NewManagedIdentityCredential(options)
}

// anywhere returns a credential that requests tokens from IMDS's address but doesn't know that IMDS exists.
func anywhere(o azcore.ClientOptions, kind, id string) (azcore.TokenCredential, error) {
	options := azhostOptions(o, kind, id)
	options.Endpoint = "http://169.254.169.254/metadata/identity/oauth2/token"
	return azhost.NewManagedIdentityCredential(options)
}

// places has the environment variables of each host.
var places = map[string]map[string]string{
	"VM":             {},
	"anywhere":       {},
	"App Service":    {"IDENTITY_ENDPOINT": "http://127.0.0.1:41564/msi/token", "IDENTITY_HEADER": "secret"},
	"Service Fabric": {"IDENTITY_ENDPOINT": "https://127.0.0.1:2377/token", "IDENTITY_HEADER": "secret", "IDENTITY_SERVER_THUMBPRINT": strings.Repeat("0", 40)},
	"Azure ML":       {"MSI_ENDPOINT": "http://127.0.0.1:41564/msi/token", "MSI_SECRET": "secret", "DEFAULT_IDENTITY_CLIENT_ID": "default"},
	"Cloud Shell":    {"MSI_ENDPOINT": "http://localhost:50342/oauth2/token"},
	"Azure Arc":      {"IDENTITY_ENDPOINT": "http://127.0.0.1:40343/foo/token", "IMDS_ENDPOINT": "http://169.254.169.254"},
}

// at sets a host's variables and clears all others.
func at(t *testing.T, variables map[string]string) {
	for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT",
		"MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID", "IDENTITY_API_VERSION"} {
		t.Setenv(name, variables[name])
	}
}

// answer is a response: a status, a body, and a header as "Name: value". If the status is 0, the request
// fails; if it is noListener, the connection is refused.
type answer struct {
	status       int
	body, header string
}

const noListener = -1

// good is the body of a response with a token.
const good = `{"access_token":"T","expires_in":3600,"token_type":"Bearer"}`

// script is a Transport that returns its responses in turn and repeats the last one.
type script struct {
	answers []answer
	slow    time.Duration // delay of a body's first byte
	seen    []string      // the requests
	headers []http.Header
}

func (s *script) Do(req *http.Request) (*http.Response, error) {
	query := req.URL.Query()
	query.Del("resource") // each test has its own
	line := fmt.Sprintf("%s %s://%s%s?%s", req.Method, req.URL.Scheme, req.URL.Host, req.URL.Path, query.Encode())
	for _, name := range []string{"Metadata", "X-Identity-Header", "Secret", "Authorization", "Content-Type"} {
		// azhost sends Metadata to App Service too; see TestPeersHeaders.
		if value := req.Header.Get(name); value != "" && (name != "Metadata" || req.Header.Get("X-Identity-Header") == "") {
			line += " " + name + ": " + value
		}
	}
	if req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		line += " " + strings.Split(string(body), "resource-")[0]
	}
	a := s.answers[min(len(s.seen), len(s.answers)-1)]
	s.seen, s.headers = append(s.seen, line), append(s.headers, req.Header)
	switch a.status {
	case 0:
		return nil, errors.New("no response")
	case noListener:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	resp := &http.Response{StatusCode: a.status, Header: http.Header{}, Request: req}
	resp.Body = io.NopCloser(io.MultiReader(pause(s.slow), strings.NewReader(a.body)))
	if name, value, ok := strings.Cut(a.header, ": "); ok {
		resp.Header.Set(name, value)
	}
	return resp, nil
}

// pause is an empty reader that waits before it ends.
type pause time.Duration

func (p pause) Read([]byte) (int, error) {
	time.Sleep(time.Duration(p))
	return 0, io.EOF
}

// get requests a token for a new resource.
func get(cred azcore.TokenCredential) (azcore.AccessToken, error) {
	return cred.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{newResource() + "/.default"}})
}

// outcome describes the result of a call: "token", "constructor" (its error), "unavailable" (a chain
// continues with its next credential) or "failed".
func outcome(token azcore.AccessToken, err error) string {
	_, unavailable := errors.AsType[*azhost.CredentialUnavailableError](err)
	_, failed := errors.AsType[*azidentity.AuthenticationFailedError](err)
	switch {
	case err == nil && token.Token != "" && token.ExpiresOn.After(time.Now()):
		return "token"
	case err == nil:
		return "expired"
	case unavailable, !failed && strings.HasPrefix(err.Error(), "ManagedIdentityCredential: "): // azidentity's type has no name
		return "unavailable"
	}
	return "failed"
}

// rawResponse returns the response in a library's error.
func rawResponse(err error) *http.Response {
	if theirs, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		return theirs.RawResponse
	}
	if ours, ok := errors.AsType[*azhost.AuthenticationFailedError](err); ok {
		return ours.RawResponse
	}
	return nil
}

// behavior is a host's responses, the peer's outcome, and azhost's, if that is different.
type behavior struct {
	place   string
	kind    string // of the identity's ID
	id      string // "" for a valid one
	name    string
	retries int32 // 0 is the library's own schedule, -1 is none
	answers []answer
	peer    string // outcome and number of requests
	azhost  string // "" for the same outcome after the same requests
	stated  string // where the project states the difference: file, colon, sentence
	text    string // part of azhost's error
}

// check compares a peer with azhost.
func (b behavior) check(t *testing.T, peer maker) {
	at(t, places[b.place])
	run := func(make maker) (string, []string, error) {
		host := &script{answers: b.answers}
		o := azcore.ClientOptions{Transport: host, Retry: policy.RetryOptions{MaxRetries: b.retries}}
		if b.place == "Service Fabric" { // takes no other Transport
			o.Transport = http.DefaultClient
		}
		id := cmp.Or(b.id, "the-"+b.kind+"-id")
		if b.name == "empty ID" {
			id = ""
		}
		cred, err := make(o, b.kind, id)
		if err != nil {
			return "constructor", nil, err
		}
		token, err := get(cred)
		return fmt.Sprintf("%s after %d", outcome(token, err), len(host.seen)), host.seen, err
	}
	synctest.Test(t, func(t *testing.T) {
		theirs, asked, _ := run(peer)
		require.Equal(t, b.peer, theirs)
		ours := newAzhost
		switch b.place {
		case "VM":
			ours = onVM
		case "anywhere":
			ours = anywhere
		}
		mine, weAsked, err := run(ours)
		if b.azhost != "" {
			require.Equal(t, b.azhost, mine, "%v", err)
			require.NotEqual(t, b.peer, b.azhost)
			requireStated(t, b.stated)
		} else {
			require.Equal(t, theirs, mine, "%v", err)
			require.Equal(t, asked, weAsked)
		}
		if b.text != "" {
			require.ErrorContains(t, err, b.text)
		}
	})
}

// requireStated requires a file of the project to contain a sentence.
func requireStated(t *testing.T, where string) {
	t.Helper()
	file, sentence, _ := strings.Cut(where, ": ")
	page, err := os.ReadFile("../" + file)
	require.NoError(t, err)
	require.NotEmpty(t, sentence)
	text := strings.Join(strings.Fields(strings.ReplaceAll(string(page), "//", "")), " ")
	require.True(t, strings.Contains(text, sentence), "%s does not say: %s", file, sentence)
}
