// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/internal/advice"
)

// onPlatformBy is a failure of a platform whose endpoint is w.
func onPlatformBy(source azhost.Source, id azhost.ManagedIDKind, w *wire) failure {
	return func(o *occasion) error {
		cred, err := onPlatform(o.T, source, w, func(opts *azhost.ManagedIdentityCredentialOptions) {
			opts.ID = id
			o.vary(opts)
		})
		if err == nil {
			_, err = token(o.Context(), cred)
		}
		return err
	}
}

// refused is a failure of a platform that responds to a request for an identity with a status and a body.
func refused(source azhost.Source, id azhost.ManagedIDKind, status int, body string) failure {
	return onPlatformBy(source, id, always(answer(status, body)))
}

// onFabricServer is a failure of a Service Fabric node that responds over a socket, because azhost checks
// its certificate.
func onFabricServer(answer func(o *occasion) http.HandlerFunc, env ...string) failure {
	return func(o *occasion) error {
		fabric(o.T, answer(o))
		for i := 0; i < len(env); i += 2 {
			o.Setenv(env[i], env[i+1])
		}
		_, err := token(o.Context(), onFabric(o.T, nil))
		if err == nil {
			return nil
		}
		// The node's port, which differs each time, is part of the endpoint and so of the error.
		return sameAddress{err, strings.ReplaceAll(err.Error(), os.Getenv("IDENTITY_ENDPOINT"), "https://node/")}
	}
}

type sameAddress struct {
	error
	text string
}

func (e sameAddress) Error() string { return e.text }
func (e sameAddress) Unwrap() error { return e.error }

// fabricRefused is a Service Fabric cluster's error.
func fabricRefused(status int, code string) failure {
	return onFabricServer(func(o *occasion) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(o.annotate(`{"error":{"code":"` + code + `","message":"text"}}`)))
		}
	})
}

// onFabricWith is the constructor's error on Service Fabric with a transport.
func onFabricWith(transport http.RoundTripper) failure {
	return func(o *occasion) error {
		setHost(o.T, azhost.SourceServiceFabric)
		var opts azhost.ManagedIdentityCredentialOptions
		opts.Transport = &http.Client{Transport: transport}
		_, err := azhost.NewManagedIdentityCredential(&opts)
		return err
	}
}

// platformTroubles returns the failures of App Service, Service Fabric, Cloud Shell and Azure ML, and of
// the variables that select hosts.
func platformTroubles() map[string]*trouble {
	me := azhost.ClientID("me")
	const imds = "http://169.254.169.254/metadata/identity/oauth2/token"
	atIMDS := azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: imds}
	return map[string]*trouble{
		advice.PlatformMoved:                   here(onPlatformBy(azhost.SourceAppService, nil, always(refusedDial))),
		advice.BindIdentity:                    overASocket(fabricRefused(404, "ManagedIdentityNotFound")),
		"is assigned to this app":              here(refused(azhost.SourceAppService, me, 400, "")),
		advice.MLIdentity:                      here(refused(azhost.SourceAzureML, me, 400, "")),
		advice.AppResource:                     here(refused(azhost.SourceAppService, nil, 500, "")),
		advice.FabricScope:                     overASocket(fabricRefused(400, "InternalServerError")),
		advice.ShellScope:                      here(refused(azhost.SourceCloudShell, nil, 400, `{"error":{"code":"AudienceNotSupported","message":"x"}}`)),
		advice.WrongHeader:                     here(refused(azhost.SourceAppService, nil, 403, "")),
		advice.WrongSecret:                     here(refused(azhost.SourceAzureML, nil, 401, "")),
		"was chosen because":                   here(refused(azhost.SourceCloudShell, nil, 404, "")),
		"selects identities by client ID only": here(refused(azhost.SourceAzureML, azhost.ObjectID("me"), 0, "")),
		"but Cloud Shell has only its user's identity; leave ID nil": here(refused(azhost.SourceCloudShell, me, 0, "")),
		"the application's manifest selects it; leave ID nil":        here(refused(azhost.SourceServiceFabric, me, 0, "")),

		"is set without IDENTITY_ENDPOINT and is ignored":                                                     here(options(atIMDS, "IMDS_ENDPOINT", "x")),
		"is set without IDENTITY_HEADER (App Service) or IMDS_ENDPOINT (Azure Arc) and is ignored":            here(options(atIMDS, "IDENTITY_ENDPOINT", "x")),
		"MSI_SECRET is set without MSI_ENDPOINT and is ignored":                                               here(options(atIMDS, "MSI_SECRET", "x")),
		"IDENTITY_SERVER_THUMBPRINT is set without both IDENTITY_ENDPOINT and IDENTITY_HEADER and is ignored": here(options(atIMDS, "IDENTITY_SERVER_THUMBPRINT", "x")),
		// Only IMDS's errors have these notes, so Source is set.
		"but another host's take precedence":           here(options(atIMDS, "IDENTITY_ENDPOINT", "x", "IDENTITY_HEADER", "x", "IMDS_ENDPOINT", "x")),
		"but another host's variables take precedence": elsewhere, // needs an agent

		"is not set. App Service sets it for apps that it hosts":                          here(variables(azhost.SourceAppService)),
		"contains a control character, which an HTTP header cannot contain":               here(variables("", "IDENTITY_ENDPOINT", "http://localhost/", "IDENTITY_HEADER", "a\nb")),
		"is not an https URL. Use https, so that azhost can check the host's certificate": here(variables("", "IDENTITY_ENDPOINT", "http://localhost/", "IDENTITY_HEADER", "x", "IDENTITY_SERVER_THUMBPRINT", strings.Repeat("0", 40))),
		"is not a SHA-1 thumbprint of 40 hexadecimal digits":                              here(variables("", "IDENTITY_ENDPOINT", "https://localhost/", "IDENTITY_HEADER", "x", "IDENTITY_SERVER_THUMBPRINT", "0123")),
		"doesn't match IDENTITY_SERVER_THUMBPRINT, so nothing was sent":                   overASocket(onFabricServer(func(*occasion) http.HandlerFunc { return fabricToken }, "IDENTITY_SERVER_THUMBPRINT", strings.Repeat("00", 20))),
		"Set it to http://localhost:40342/metadata/identity/oauth2/token":                 here(variables("", "IDENTITY_ENDPOINT", "http://localhost:40342", "IMDS_ENDPOINT", "http://localhost:40342")),
		"the directory of the Arc agent's keys is unknown":                                only(!onLinux, variables(azhost.SourceAzureArc, "ProgramData", "")),

		"Transport must be nil or an *http.Client": here(func(o *occasion) error {
			_, err := onPlatform(o.T, azhost.SourceServiceFabric, nil, func(opts *azhost.ManagedIdentityCredentialOptions) { opts.Transport = always(goodToken) })
			return err
		}),
		"an *http.Client's Transport must be nil or an *http.Transport": here(onFabricWith(http.NewFileTransport(http.Dir(".")))),
		"must not set DialTLS or DialTLSContext": here(onFabricWith(&http.Transport{
			DialTLSContext: func(context.Context, string, string) (net.Conn, error) { panic("never") },
		})),
		"must not set VerifyPeerCertificate or VerifyConnection": here(onFabricWith(&http.Transport{
			TLSClientConfig: &tls.Config{VerifyConnection: func(tls.ConnectionState) error { panic("never") }},
		})),
	}
}
