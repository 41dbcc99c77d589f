// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/tokenjson"
)

// serviceFabric is a Service Fabric cluster. Its certificate is its own, known by its thumbprint.
type serviceFabric struct{ platform }

// fabricRetry is the schedule that Service Fabric's documentation asks for when it throttles: five
// retries, after 1 s growing to half a minute.
var fabricRetry = policy.RetryOptions{
	MaxRetries: 5, RetryDelay: time.Second, MaxRetryDelay: time.Minute,
}

func newServiceFabric(in *setup) (source, error) {
	if err := in.identity.systemOnly("on Service Fabric the cluster's configuration says which identity an application has"); err != nil {
		return nil, err
	}
	if _, err := thumbprint(); err != nil {
		return nil, err
	}
	base := newHTTPClient(in.options.ConnectTimeout)
	if in.options.Transport != nil {
		var ok bool
		if base, ok = in.options.Transport.(*http.Client); !ok || base == nil {
			return nil, fmt.Errorf("on Service Fabric, Transport must be nil or an *http.Client, to which the check of the host's certificate can be added; it is a %T", in.options.Transport)
		}
	}
	client, err := pinned(base)
	if err != nil {
		return nil, err
	}
	in.options.Transport = client
	s := &serviceFabric{platform{protocol: protocol{identity: in.identity, label: "Service Fabric", apiVersion: "2019-07-01-preview", log: in.options.Logger}}}
	s.advice = func(_ int, e tokenjson.Error) string {
		switch e.Code {
		case "ManagedIdentityNotFound":
			return "Does the application's manifest bind an identity to this service?"
		case "SecretHeaderNotFound":
			return "Is IDENTITY_HEADER the one that the platform has given to this process?"
		case "InternalServerError":
			return "Service Fabric often answers so to a wrong resource; check the scope, its slashes included"
		}
		return ""
	}
	return s, s.connect(in, fabricRetry, "Secret")
}

// fetch asks Service Fabric.
func (s *serviceFabric) fetch(ctx context.Context, w want) (azcore.AccessToken, error) {
	query := url.Values{"api-version": {s.apiVersion}, "resource": {w.resource}}
	if w.revocable {
		query.Set("xms_cc", "cp1")
	}
	if w.refused != "" { // the host returns a newer token than this one, which it may have to get first
		query.Set("token_sha256_to_refresh", fmt.Sprintf("%x", sha256.Sum256([]byte(w.refused))))
	}
	req, err := s.ask(ctx, query)
	if err != nil {
		return azcore.AccessToken{}, err
	}
	req.Raw().Header.Set("Accept", "application/json")
	return s.send(ctx, req)
}

// pinned returns a copy of base that speaks only to the host whose certificate has the thumbprint.
// The handshake fails otherwise, before anything of a request is sent. Base itself is not changed.
func pinned(base *http.Client) (*http.Client, error) {
	rt := base.Transport
	if rt == nil {
		rt = http.DefaultTransport
	}
	t, ok := rt.(*http.Transport)
	if !ok || t == nil {
		return nil, fmt.Errorf("on Service Fabric, the Transport of an *http.Client must be nil or an *http.Transport, to which the check of the host's certificate can be added; it is a %T", rt)
	}
	//lint:ignore SA1019 whoever sets the deprecated one decides about certificates all the same
	if t.DialTLS != nil || t.DialTLSContext != nil {
		return nil, errors.New("on Service Fabric, Transport must leave dialling TLS to net/http, where the check of the host's certificate is added; leave out DialTLS and DialTLSContext")
	}
	t = t.Clone()
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	if c := t.TLSClientConfig; c.VerifyPeerCertificate != nil || c.VerifyConnection != nil {
		return nil, errors.New("on Service Fabric, Transport must leave the check of the host's certificate to this package; leave out VerifyPeerCertificate and VerifyConnection")
	}
	t.TLSClientConfig.InsecureSkipVerify = true // nobody but the cluster has signed the certificate
	t.TLSClientConfig.VerifyConnection = verifyThumbprint
	if t.TLSHandshakeTimeout == 0 {
		t.TLSHandshakeTimeout = tlsTimeout // else a host that is silent here holds on to a connection for ever
	}
	// HTTP/2 may come with a connection pool of the caller's, whose connections were never checked.
	t.TLSClientConfig.NextProtos = nil
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	t.ForceAttemptHTTP2, t.HTTP2, t.Protocols = false, nil, nil
	own := *base
	own.Transport = t
	return &own, nil
}

// verifyThumbprint checks the host's certificate. The variable is read for every connection,
// because the platform may change it with the certificate.
func verifyThumbprint(state tls.ConnectionState) error {
	want, err := thumbprint()
	if err != nil {
		return final{err}
	}
	if len(state.PeerCertificates) == 0 {
		return final{errors.New("the host has shown no certificate")}
	}
	got := sha1.Sum(state.PeerCertificates[0].Raw) // SHA-1 is what the platform publishes
	if subtle.ConstantTimeCompare(got[:], want) != 1 {
		return final{errors.New("the host's certificate is not the one of IDENTITY_SERVER_THUMBPRINT: something else answers there, and nothing was sent to it")}
	}
	return nil
}

// thumbprint returns the SHA-1 of the certificate that the platform says is the host's.
func thumbprint() ([]byte, error) {
	digits := strings.Map(func(r rune) rune {
		if r == ':' || unicode.IsSpace(r) {
			return -1
		}
		return r
	}, os.Getenv("IDENTITY_SERVER_THUMBPRINT"))
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha1.Size {
		return nil, errors.New("IDENTITY_SERVER_THUMBPRINT is not the SHA-1 of a certificate, 40 hexadecimal digits")
	}
	return sum, nil
}
