// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost

import (
	"context"
	"crypto/fips140"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost/internal/detect"
)

// serviceFabric is a Service Fabric cluster. Its certificate is self-signed and recognized by its thumbprint.
type serviceFabric struct{ platform }

func checkServiceFabric(in *setup) error {
	if _, err := thumbprint(); in.wrong == nil {
		in.wrong = err
	}
	if in.identity.id != "" && in.wrong == nil {
		return errors.New("ID selects a user-assigned identity, but on Service Fabric the application's manifest selects it; leave ID nil")
	}
	if in.options.Transport == nil {
		return nil
	}
	client, ok := in.options.Transport.(*http.Client)
	if !ok {
		return fmt.Errorf("on Service Fabric, Transport must be nil or an *http.Client, not a %T, so that azhost can check the host's certificate", in.options.Transport)
	}
	_, err := pinned(client)
	return err
}

func newServiceFabric(in *setup) source {
	in.transport, _ = pinned(in.transport.(*http.Client)) // both checked at construction
	return &serviceFabric{newPlatform(in, protocol{apiVersion: "2019-07-01-preview"})}
}

// request implements [source].
func (s *serviceFabric) request(ctx context.Context, w want) (*policy.Request, error) {
	query := url.Values{"api-version": {s.apiVersion}, "resource": {w.resource}}
	if w.revocable {
		query.Set("xms_cc", "cp1")
	}
	if w.rejected != "" { // the host returns a newer token than this one
		query.Set("token_sha256_to_refresh", fmt.Sprintf("%x", sha256.Sum256([]byte(w.rejected))))
	}
	req, err := s.ask(ctx, query)
	if err == nil {
		req.Raw().Header.Set("Accept", "application/json")
	}
	return req, err
}

// pinned returns a copy of base that connects only to a host whose certificate has the thumbprint. With any
// other certificate, the handshake fails before any part of a request is sent. base isn't changed.
func pinned(base *http.Client) (*http.Client, error) {
	rt := base.Transport
	if rt == nil {
		rt = http.DefaultTransport
	}
	t, ok := rt.(*http.Transport)
	if !ok || t == nil {
		return nil, fmt.Errorf("on Service Fabric, an *http.Client's Transport must be nil or an *http.Transport, not a %T, so that azhost can check the host's certificate", rt)
	}
	//lint:ignore SA1019 the deprecated field bypasses the check too
	if t.DialTLS != nil || t.DialTLSContext != nil {
		return nil, errors.New("on Service Fabric, Transport must not set DialTLS or DialTLSContext, because azhost checks the host's certificate")
	}
	t = unpooled(t).(*http.Transport)
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{}
	}
	if c := t.TLSClientConfig; c.VerifyPeerCertificate != nil || c.VerifyConnection != nil {
		return nil, errors.New("on Service Fabric, Transport must not set VerifyPeerCertificate or VerifyConnection, because azhost checks the host's certificate")
	}
	t.TLSClientConfig.InsecureSkipVerify = true // the certificate is self-signed; verifyThumbprint checks it
	t.TLSClientConfig.VerifyConnection = verifyThumbprint
	if t.TLSHandshakeTimeout == 0 {
		t.TLSHandshakeTimeout = tlsTimeout // otherwise, a host that never responds would hold the connection forever
	}
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
		return final{errors.New("the host sent no certificate")}
	}
	var got [sha1.Size]byte
	fips140.WithoutEnforcement(func() { // SHA-1 is what the platform publishes, and it protects no signature here
		got = sha1.Sum(state.PeerCertificates[0].Raw)
	})
	if subtle.ConstantTimeCompare(got[:], want) != 1 {
		return final{errors.New("the host's certificate doesn't match IDENTITY_SERVER_THUMBPRINT, so nothing was sent. Another program may be listening there")}
	}
	return nil
}

// thumbprint returns the SHA-1 of the host's certificate, from the platform's variable.
func thumbprint() ([]byte, error) {
	digits := strings.Map(func(r rune) rune {
		if r == ':' || unicode.IsSpace(r) {
			return -1
		}
		return r
	}, detect.Getenv("IDENTITY_SERVER_THUMBPRINT"))
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != sha1.Size {
		return nil, errors.New("IDENTITY_SERVER_THUMBPRINT is not a SHA-1 thumbprint of 40 hexadecimal digits")
	}
	return sum, nil
}
