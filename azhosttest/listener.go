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

// listener is a host's socket on loopback, from the first time that somebody needs its address.
type listener struct {
	connections sync.WaitGroup
	tls         *tls.Config // nil for plain HTTP

	mu      sync.Mutex // guards the fields below, and is held while the socket opens and closes
	address string     // kept while stopped
	server  *http.Server
	cancel  context.CancelFunc // of the requests under way
	done    chan struct{}      // closed when server has ended
	closed  bool
}

// Endpoint returns the URL of the token endpoint, where the host listens from then on. A host
// made with [NewVM] and the like fails its test if there is no free port on loopback.
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
			l.shut() // now there is an address that refuses connections
		}
	}
	host, port, _ := net.SplitHostPort(l.address)
	ip, scheme := net.ParseIP(host), "http"
	if ip != nil && ip.IsUnspecified() {
		host, ip = "127.0.0.1", net.IPv4(127, 0, 0, 1) // listening everywhere is no address to connect to
	}
	if h.local && ip != nil && ip.IsLoopback() {
		host = "localhost"
	}
	if l.tls != nil {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + h.root + h.path
}

// Stop makes the host refuse connections until [Host.Start], and ends those under way.
func (h *Host) Stop() {
	h.listener.mu.Lock()
	defer h.listener.mu.Unlock()
	h.set(func() { h.settings.stopped = true })
	h.listener.shut()
}

// Start ends a Stop, at the same address. It returns an error when another program has taken the
// address since, and after Close.
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

// Close ends the host for good and waits for its connections, so it must not be called from
// OnRequest and the like. Hosts made with [NewVM] and the like are closed by their test's cleanup.
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

// open listens. The caller holds l.mu, but for a new host.
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
		server.ErrorLog = log.New(io.Discard, "", 0) // a client that refuses the certificate is no news
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

// shut closes the socket and its connections, without waiting for the latter: one of them may be
// calling. The caller holds l.mu.
func (l *listener) shut() {
	if l.server == nil {
		return
	}
	l.cancel()
	_ = l.server.Close()
	<-l.done
	l.server = nil
}

// ServeHTTP answers over a socket. It implements [http.Handler].
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
