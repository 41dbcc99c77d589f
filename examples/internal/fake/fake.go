// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package fake has what the examples' fakes of Azure services have in common.
package fake

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
)

// Server is a service that listens on localhost over TLS and responds under every host name.
type Server struct {
	Transport *http.Transport // sends every request to the service

	server *httptest.Server
}

// Serve starts a service.
func Serve(handler http.Handler) *Server {
	server := httptest.NewTLSServer(handler)
	transport := server.Client().Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.ServerName = "example.com" // a name in httptest's certificate
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	return &Server{Transport: transport, server: server}
}

// Close stops the service.
func (s *Server) Close() {
	s.Transport.CloseIdleConnections()
	s.server.Close()
}

// WriteJSON writes a response.
func WriteJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the client has disconnected
}

// HostOf returns the host of a valid URL.
func HostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
}
