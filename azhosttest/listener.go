// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// listener is a host's loopback socket, opened when its address is first needed.
type listener struct {
	connections sync.WaitGroup
	tls         *tls.Config // nil for plain HTTP

	mu      sync.Mutex // guards the fields below, and is held while the socket opens and closes
	address string     // kept while stopped
	server  *http.Server
	cancel  context.CancelFunc // of current requests
	done    chan struct{}      // closed when server has ended
	closed  bool
}

// Endpoint returns the URL of the token endpoint, and starts listening there if necessary. Its path
// begins with a random element if the system chose the port, so that it never equals the endpoint of
// an earlier fake. A host made with [NewVM] and the like fails its test if it can't listen.
func (h *Host) Endpoint() string {
	l := &h.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.address == "" {
		if err := l.open("127.0.0.1:0", h); err != nil {
			h.t.Helper()
			h.t.Fatalf("azhosttest: %v", err)
		}
		if l.closed || h.current().stopped {
			l.shut() // keep the address, which now refuses connections
		}
	}
	host, port, _ := net.SplitHostPort(l.address)
	ip, scheme := net.ParseIP(host), "http"
	if ip != nil && ip.IsUnspecified() {
		host, ip = "127.0.0.1", net.IPv4(127, 0, 0, 1) // clients can't connect to an unspecified address
	}
	if h.local && ip != nil && ip.IsLoopback() {
		host = "localhost"
	}
	if l.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + h.root + h.path
}

// Stop closes the host's connections and makes it refuse new ones until [Host.Start].
func (h *Host) Stop() {
	h.listener.mu.Lock()
	defer h.listener.mu.Unlock()
	h.set(func() { h.settings.stopped = true })
	h.listener.shut()
}

// Start makes a stopped host listen again at the same address. It returns an error if another program
// now uses the address, or after Close.
func (h *Host) Start() error {
	l := &h.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("azhosttest: Start after Close")
	}
	if l.address != "" && l.server == nil {
		if err := l.open(l.address, h); err != nil {
			return err
		}
	}
	h.set(func() { h.settings.stopped = false })
	return nil
}

// Close stops the host permanently and waits until its connections are closed, so don't call it from
// OnRequest or similar functions. Hosts made with [NewVM] and the like close when their test ends.
func (h *Host) Close() {
	h.Stop()
	l := &h.listener
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	l.connections.Wait()
	if first && h.atClose != nil {
		h.atClose()
	}
}

// open listens. The caller holds l.mu, unless the host is new.
func (l *listener) open(address string, handler http.Handler) error {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("azhosttest: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				l.connections.Add(1)
			case http.StateClosed:
				l.connections.Done()
			}
		},
	}
	serve := server.Serve
	if l.tls != nil {
		server.TLSConfig = l.tls
		server.Protocols = new(http.Protocols)
		server.Protocols.SetHTTP1(true)              // HTTP/2 would reset a stream where a fault closes the connection
		server.ErrorLog = log.New(io.Discard, "", 0) // it would report clients that reject the certificate
		serve = func(socket net.Listener) error { return server.ServeTLS(socket, "", "") }
	}
	done := make(chan struct{})
	l.address, l.server, l.cancel, l.done = socket.Addr().String(), server, cancel, done
	go func() {
		defer close(done)
		_ = serve(socket) // always ErrServerClosed
	}()
	return nil
}

// shut closes the socket and its connections. It doesn't wait for the connections, because one of
// them may be calling it. The caller holds l.mu.
func (l *listener) shut() {
	if l.server == nil {
		return
	}
	l.cancel()
	_ = l.server.Close()
	<-l.done
	l.server = nil
}

// ServeHTTP implements [http.Handler], for a test that has its own server, such as one with TLS.
func (h *Host) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r, err := h.answer(req)
	if err != nil || r.drop {
		panic(http.ErrAbortHandler) // net/http closes the connection
	}
	maps.Copy(w.Header(), r.header)
	w.Header().Set("Content-Length", strconv.Itoa(r.length()))
	w.WriteHeader(r.status)
	if r.cut {
		_, _ = w.Write(r.body[:len(r.body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(r.body)
}
