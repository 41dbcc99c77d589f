// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package hosttest

import (
	"crypto/fips140"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// Fabric starts the token service of a Service Fabric cluster, and sets the environment that points to it.
func Fabric(t *testing.T, handler http.HandlerFunc, connected ...func(net.Conn, http.ConnState)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	for _, f := range connected {
		server.Config.ConnState = f
	}
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	SetHost(t, azhost.SourceServiceFabric)
	t.Setenv("IDENTITY_ENDPOINT", server.URL+"/metadata/identity/oauth2/token")
	t.Setenv("IDENTITY_SERVER_THUMBPRINT", Thumbprint(server))
	return server
}

// Thumbprint returns the SHA-1 of a server's certificate, in hexadecimal digits.
func Thumbprint(server *httptest.Server) string {
	var sum [sha1.Size]byte
	fips140.WithoutEnforcement(func() { sum = sha1.Sum(server.Certificate().Raw) })
	return hex.EncodeToString(sum[:])
}

// FabricToken responds with a token that is valid for an hour.
func FabricToken(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintf(w, `{"access_token":"the.token","expires_on":%d,"token_type":"Bearer"}`, time.Now().Add(time.Hour).Unix())
}

// OnFabric returns a credential whose Transport is client, or nil if client is nil.
func OnFabric(t *testing.T, client *http.Client) *azhost.ManagedIdentityCredential {
	t.Helper()
	o := &azhost.ManagedIdentityCredentialOptions{}
	if client != nil {
		o.Transport = client
	} else {
		o.PerCallPolicies = []policy.Policy{PassOn{}} // shares no cache with other tests
	}
	cred, err := azhost.NewManagedIdentityCredential(o)
	require.NoError(t, err)
	require.Equal(t, azhost.SourceServiceFabric, cred.Source())
	return cred
}
