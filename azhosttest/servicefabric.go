// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/azhost/azhost"
)

// ServiceFabric is a fake node of a Service Fabric cluster: the token service of its applications.
// Make one with [NewServiceFabric] or [ListenServiceFabric].
//
// It serves HTTPS with a self-signed certificate, which clients pin by its thumbprint. So it has no
// in-memory transport, and Silence has no effect. The cluster gives an application one identity: the
// system-assigned identity, or else the first. It rejects selectors.
type ServiceFabric struct {
	Host

	thumbprint string
	wrong      bool // guarded by Host.mu
}

// NewServiceFabric returns a Service Fabric node that is closed when the test ends. It starts
// listening when its address is first needed.
func NewServiceFabric(t testing.TB) *ServiceFabric {
	t.Helper()
	f, err := newServiceFabric(t)
	return closedBy(t, f, err)
}

// ListenServiceFabric returns a Service Fabric node that listens at addr, such as "127.0.0.1:0",
// for programs other than tests. Call Close when done.
func ListenServiceFabric(addr string) (*ServiceFabric, error) {
	return listening(addr, newServiceFabric)
}

func newServiceFabric(t testing.TB) (*ServiceFabric, error) {
	own, err := selfSigned()
	if err != nil {
		return nil, err
	}
	other, err := selfSigned()
	if err != nil {
		return nil, err
	}
	var sum [sha1.Size]byte
	fips140.WithoutEnforcement(func() { sum = sha1.Sum(own.Certificate[0]) }) // what Service Fabric publishes
	f := &ServiceFabric{thumbprint: strings.ToUpper(hex.EncodeToString(sum[:]))}
	f.Host = Host{
		source:    azhost.SourceServiceFabric,
		address:   "localhost:2377",
		path:      tokenPath,
		local:     true,
		selectors: []string{"client_id", "object_id", "principal_id", "principalId", "mi_res_id", "msi_res_id"},
		machine:   resourceGroup() + "/providers/Microsoft.ServiceFabric/clusters/fake/applications/fake",
		refuse:    fabricReply,
		unknown: func() reply {
			return fabricReply(http.StatusInternalServerError, "InternalServerError", "An unexpected error occurred")
		},
		shape: func(fields map[string]any) {
			withoutDurations(fields)
			delete(fields, "client_id")
		},
		environment: func(endpoint string, s settings) map[string]string {
			return map[string]string{
				"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": s.secret, "IDENTITY_SERVER_THUMBPRINT": f.thumbprint,
			}
		},
	}
	f.listener.tls = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.wrong {
			return &other, nil
		}
		return &own, nil
	}}
	f.respond = f.fabric
	return f, f.init(t)
}

// InMemory fails the test, because pinning a certificate requires a connection. For a host made with
// [ListenServiceFabric], which has no test to fail, it returns the same as Options.
func (f *ServiceFabric) InMemory() *azhost.ManagedIdentityCredentialOptions {
	if f.t != nil {
		f.t.Helper()
		f.t.Fatalf("azhosttest: Service Fabric has no in-memory transport, because its certificate is pinned; use Options")
	}
	return f.Options()
}

// Thumbprint returns the SHA-1 hash of the certificate as 40 hexadecimal digits.
func (f *ServiceFabric) Thumbprint() string { return f.thumbprint }

// UseWrongCertificate sets whether new connections present a certificate with another thumbprint.
// Clients must reject it and send no request.
func (f *ServiceFabric) UseWrongCertificate(wrong bool) { f.set(func() { f.wrong = wrong }) }

// fabric responds as the cluster's token service does.
func (f *ServiceFabric) fabric(req *http.Request, r *Request, s settings) reply {
	refuse := func(code, text string) reply { return fabricReply(http.StatusBadRequest, code, text) }
	switch {
	case r.Path != f.path:
		return fabricReply(http.StatusNotFound, "NotFound", "There is nothing at this path")
	case r.Method != http.MethodGet:
		return fabricReply(http.StatusMethodNotAllowed, "MethodNotAllowed", "Only GET is supported")
	case req.Header.Get("Secret") == "":
		return refuse("SecretHeaderNotFound", "Secret is not found in the request headers")
	case !proven(req, "Secret", s): // the secret identifies the application
		return fabricReply(http.StatusNotFound, "ManagedIdentityNotFound", "Managed identity not found for the specified application host")
	case r.Query.Get("api-version") != "2019-07-01-preview":
		return refuse("InvalidApiVersion", "api-version was not specified or is not supported")
	case r.Resource == "":
		return refuse("ArgumentNullOrEmpty", "The parameter 'resource' should not be null or empty string")
	case r.Selector != "":
		return refuse("InvalidArgument", "The cluster decides which identity an application has")
	case len(s.identities) == 0:
		return fabricReply(http.StatusNotFound, "ManagedIdentityNotFound", "Managed identity not found for the specified application host")
	}
	id, ok := system(s.identities)
	if !ok {
		id = s.identities[0]
	}
	return f.success(s, r.Resource, id, "")
}

// fabricReply returns an error in Service Fabric's form.
func fabricReply(status int, code, message string) reply {
	return reply{status: status, header: http.Header{"Content-Type": {jsonType}}, body: encode(map[string]any{
		"error": map[string]any{"correlationId": guid(rand.Text()), "code": code, "message": message},
	})}
}

// selfSigned returns a new certificate for localhost.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: new(big.Int).SetBytes([]byte(rand.Text()[:16])), // at most 20 bytes are allowed
		Subject:      pkix.Name{CommonName: "azhosttest"},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
