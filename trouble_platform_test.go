// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/azhost/azhost"
)

// refused is a platform's answer to a request for an identity.
func refused(source azhost.Source, id azhost.ManagedIDKind, status int, body string) func(*testing.T) error {
	return func(t *testing.T) error {
		cred, err := onPlatform(t, source, always(answer(status, body)), func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = id })
		if err == nil {
			_, err = token(t.Context(), cred)
		}
		return err
	}
}

// fabricRefused is a Service Fabric cluster's answer.
func fabricRefused(code string) func(*testing.T) error {
	return func(t *testing.T) error {
		fabric(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error":{"code":"` + code + `","message":"text"}}`))
		})
		_, err := token(t.Context(), onFabric(t, nil))
		return err
	}
}

// onFabricWith is what the constructor says on Service Fabric to a transport, or to a variable.
func onFabricWith(transport *http.Transport, env ...string) func(*testing.T) error {
	return func(t *testing.T) error {
		setHost(t, azhost.SourceServiceFabric)
		for i := 0; i < len(env); i += 2 {
			t.Setenv(env[i], env[i+1])
		}
		var o azhost.ManagedIdentityCredentialOptions
		if transport != nil {
			o.Transport = &http.Client{Transport: transport}
		}
		_, err := azhost.NewManagedIdentityCredential(&o)
		return err
	}
}

// platformTroubles are the messages about App Service, Service Fabric, Cloud Shell and Azure ML.
func platformTroubles() map[string]func(*testing.T) error {
	me := azhost.ClientID("me")
	return map[string]func(*testing.T) error{
		"is not set; AppService sets it for the programs that it runs": options(azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAppService}),
		"is not set any more": func(t *testing.T) error {
			cred, err := onPlatform(t, azhost.SourceAppService, always(goodToken))
			t.Setenv("IDENTITY_HEADER", "")
			if err == nil {
				_, err = token(t.Context(), cred)
			}
			return err
		},
		"does this program still run where the platform started it?": func(t *testing.T) error {
			cred, err := onPlatform(t, azhost.SourceAppService, always(refusedDial))
			if err == nil {
				_, err = token(t.Context(), cred)
			}
			return err
		},
		"Does this app have a system-assigned identity?":                                        refused(azhost.SourceAppService, nil, 400, ""),
		"assigned to this app?":                                                                 refused(azhost.SourceAppService, me, 400, ""),
		"App Service answers so when Microsoft Entra does not know the resource":                refused(azhost.SourceAppService, nil, 500, ""),
		"Is IDENTITY_HEADER the one that the platform has given to this process?":               refused(azhost.SourceAppService, nil, 403, ""),
		"Is MSI_SECRET the one that the platform has given to this process?":                    refused(azhost.SourceAzureML, nil, 401, ""),
		"Is the identity assigned to this compute, and does the resource exist in this tenant?": refused(azhost.SourceAzureML, me, 400, ""),
		"by client ID alone":                                                  refused(azhost.SourceAzureML, azhost.ObjectID("me"), 0, ""),
		"Cloud Shell has tokens for some resources only":                      refused(azhost.SourceCloudShell, nil, 400, `{"error":{"code":"AudienceNotSupported","message":"x"}}`),
		"Cloud Shell has the identity of its user alone":                      refused(azhost.SourceCloudShell, me, 0, ""),
		"the cluster's configuration says which identity an application has":  refused(azhost.SourceServiceFabric, me, 0, ""),
		"Does the application's manifest bind an identity to this service?":   fabricRefused("ManagedIdentityNotFound"),
		"Service Fabric often answers so to a wrong resource":                 fabricRefused("InternalServerError"),
		"is not an https URL, without which there is no certificate to check": onFabricWith(nil, "IDENTITY_ENDPOINT", "http://localhost/"),
		"is not the SHA-1 of a certificate, 40 hexadecimal digits":            onFabricWith(nil, "IDENTITY_SERVER_THUMBPRINT", "0123"),
		"the host's certificate is not the one of IDENTITY_SERVER_THUMBPRINT": func(t *testing.T) error {
			fabric(t, fabricToken)
			t.Setenv("IDENTITY_SERVER_THUMBPRINT", strings.Repeat("00", 20))
			_, err := token(t.Context(), onFabric(t, nil))
			return err
		},
		"Transport must be nil or an *http.Client": func(t *testing.T) error {
			_, err := onPlatform(t, azhost.SourceServiceFabric, nil, func(o *azhost.ManagedIdentityCredentialOptions) { o.Transport = always(goodToken) })
			return err
		},
		"the Transport of an *http.Client must be nil or an *http.Transport": func(t *testing.T) error {
			_, err := onPlatform(t, azhost.SourceServiceFabric, nil, func(o *azhost.ManagedIdentityCredentialOptions) {
				o.Transport = &http.Client{Transport: http.NewFileTransport(http.Dir("."))}
			})
			return err
		},
		"leave out DialTLS and DialTLSContext": onFabricWith(&http.Transport{
			DialTLSContext: func(context.Context, string, string) (net.Conn, error) { panic("never") },
		}),
		"leave out VerifyPeerCertificate and VerifyConnection": onFabricWith(&http.Transport{
			TLSClientConfig: &tls.Config{VerifyConnection: func(tls.ConnectionState) error { panic("never") }},
		}),
	}
}
