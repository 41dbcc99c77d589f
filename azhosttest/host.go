// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/azhost/azhost"
)

// Host is what the fakes have in common. Its methods are safe for concurrent use; what they
// change takes effect with the next request.
type Host struct {
	source   azhost.Source
	path     string                                        // of the token endpoint
	respond  func(*http.Request, *Request) (reply, string) // the protocol, and the selector it saw
	key      *ecdsa.PrivateKey                             // signs the tokens
	inMemory string                                        // the real host's address

	mu         sync.Mutex // guards the fields below; never held while waiting
	identities []Identity
	lifetime   time.Duration
	refreshIn  time.Duration
	claims     map[string]any
	edit       func(map[string]any)
	resources  []string
	latency    time.Duration
	faults     []Fault
	failWhile  func(Request) (Fault, bool)
	perSecond  int
	atOnce     int
	underWay   int
	recent     []time.Time // of the requests let through in the last second
	log        []Request
	observer   func(Request)
	stopped    bool
	silent     bool
	issued     int // tokens so far
	server     *http.Server
	address    string        // of the listener, once there was one
	done       chan struct{} // closed when server has ended
}

func (h *Host) init(source azhost.Source, address, path string) error {
	key, err := newKey()
	h.source, h.path, h.key, h.inMemory = source, path, key, "http://"+address+path
	h.identities, h.lifetime = []Identity{SystemAssigned()}, 24*time.Hour
	return err
}

// Identities replaces the host's identities; without any, every request is refused as the real
// host does. A new host has one, [SystemAssigned].
func (h *Host) Identities(ids ...Identity) { h.set(func() { h.identities = slices.Clone(ids) }) }

// TokenLifetime sets how long tokens live; a day to begin with.
func (h *Host) TokenLifetime(d time.Duration) { h.set(func() { h.lifetime = d }) }

// RefreshIn adds refresh_in to the answers; zero, as to begin with, leaves it out.
func (h *Host) RefreshIn(d time.Duration) { h.set(func() { h.refreshIn = d }) }

// Claims adds claims to the tokens, or replaces them.
func (h *Host) Claims(claims map[string]any) { h.set(func() { h.claims = maps.Clone(claims) }) }

// Resources limits the resources for which there are tokens; without any, all are known.
func (h *Host) Resources(known ...string) { h.set(func() { h.resources = slices.Clone(known) }) }

// Answer lets edit change the JSON fields of every successful answer before it is sent.
func (h *Host) Answer(edit func(fields map[string]any)) { h.set(func() { h.edit = edit }) }

// Latency delays every answer.
func (h *Host) Latency(d time.Duration) { h.set(func() { h.latency = d }) }

// Throttle lets perSecond requests through in any second and atOnce at a time, and answers the
// others with 429. IMDS documents 20 and 5. Zero means no limit.
func (h *Host) Throttle(perSecond, atOnce int) {
	h.set(func() { h.perSecond, h.atOnce = perSecond, atOnce })
}

// Stop makes the host refuse connections until Start.
func (h *Host) Stop() {
	h.set(func() { h.stopped = true })
	h.shut()
}

// Start ends a Stop, at the same address.
func (h *Host) Start() error {
	h.set(func() { h.stopped = false })
	h.mu.Lock()
	address := h.address
	h.mu.Unlock()
	if address == "" {
		return nil // it has never listened
	}
	return h.listen(address)
}

// Silence makes connecting to the host hang, as a firewall that drops packets does. It affects
// the in-memory transport only: loopback sockets connect whatever the server does.
func (h *Host) Silence(silent bool) { h.set(func() { h.silent = silent }) }

// Close ends the host. Fakes made with a testing.TB are closed by its cleanup.
func (h *Host) Close() { h.Stop() }

func (h *Host) set(change func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change()
}

// Endpoint returns the URL of the token endpoint on loopback, where the host listens from then on.
// It panics if there is no free port.
func (h *Host) Endpoint() string {
	h.mu.Lock()
	address, stopped := h.address, h.stopped
	h.mu.Unlock()
	if address == "" && !stopped {
		if err := h.listen("127.0.0.1:0"); err != nil {
			panic(fmt.Sprintf("azhosttest: %v", err))
		}
		return h.Endpoint()
	}
	return "http://" + address + h.path
}

func (h *Host) listen(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	h.mu.Lock()
	h.address, h.server, h.done = listener.Addr().String(), server, done
	h.mu.Unlock()
	go func() {
		defer close(done)
		_ = server.Serve(listener) // always ErrServerClosed
	}()
	return nil
}

func (h *Host) shut() {
	h.mu.Lock()
	server, done := h.server, h.done
	h.server = nil
	h.mu.Unlock()
	if server != nil {
		_ = server.Close()
		<-done
	}
}

// Options returns options for a credential that asks this host over loopback. They have a
// Transport of their own, so that credentials of different tests share nothing.
func (h *Host) Options() *azhost.ManagedIdentityCredentialOptions {
	o := &azhost.ManagedIdentityCredentialOptions{Source: h.source, Endpoint: h.Endpoint()}
	o.Transport = &http.Client{
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true}, // nothing is left behind
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return o
}

// InMemory returns options for a credential that asks this host without a socket, which a bubble
// of testing/synctest needs.
func (h *Host) InMemory() *azhost.ManagedIdentityCredentialOptions {
	o := &azhost.ManagedIdentityCredentialOptions{Source: h.source, Endpoint: h.inMemory}
	o.Transport = h
	return o
}

// setenv sets the variables of a host, and unsets those that would point to others.
func setenv(t testing.TB, environment map[string]string) {
	t.Helper()
	for _, name := range []string{
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT",
		"MSI_ENDPOINT", "MSI_SECRET", "AZURE_POD_IDENTITY_AUTHORITY_HOST",
	} {
		t.Setenv(name, environment[name])
	}
}

// reply is an answer on its way to either transport.
type reply struct {
	status int
	header http.Header
	body   []byte
	drop   bool // close the connection instead
	cut    bool // close it in the middle of the body
}

// answer waits out the latency and makes the reply; it returns an error when ctx ends first.
func (h *Host) answer(req *http.Request) (reply, error) {
	entry := newRequest(req)
	h.mu.Lock()
	latency, throttled := h.latency, h.throttled(entry.Time)
	fault, faulty := h.nextFault(entry)
	h.mu.Unlock()
	if !throttled {
		defer h.set(func() { h.underWay-- })
	}
	if err := sleep(req.Context(), latency+fault.Delay); err != nil {
		return reply{}, err
	}
	var r reply
	switch {
	case throttled:
		r = Throttled(time.Second).reply()
	case faulty && (fault.Status != 0 || fault.Drop):
		r = fault.reply()
	default:
		r, entry.Selector = h.respond(req, &entry)
		r.cut = fault.Cut
	}
	entry.Status = r.status
	h.mu.Lock()
	h.log = append(h.log, entry)
	observer := h.observer
	h.mu.Unlock()
	if observer != nil {
		observer(entry)
	}
	return r, nil
}

// throttled counts a request, and reports whether it is one too many. The caller holds h.mu.
func (h *Host) throttled(now time.Time) bool {
	h.recent = slices.DeleteFunc(h.recent, func(t time.Time) bool { return now.Sub(t) >= time.Second })
	if h.perSecond > 0 && len(h.recent) >= h.perSecond || h.atOnce > 0 && h.underWay >= h.atOnce {
		return true
	}
	h.recent = append(h.recent, now)
	h.underWay++
	return false
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Do answers in memory. It implements azcore's policy.Transporter.
func (h *Host) Do(req *http.Request) (*http.Response, error) {
	h.mu.Lock()
	stopped, silent := h.stopped, h.silent
	h.mu.Unlock()
	address := &net.TCPAddr{IP: net.ParseIP(req.URL.Hostname()), Port: 80}
	if silent {
		if err := sleep(req.Context(), 30*time.Second); err != nil {
			return nil, err
		}
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: os.ErrDeadlineExceeded}
	}
	if stopped {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	r, err := h.answer(req)
	switch {
	case err != nil:
		return nil, err
	case r.drop:
		return nil, &net.OpError{Op: "read", Net: "tcp", Addr: address, Err: io.EOF}
	}
	var body io.Reader = bytes.NewReader(r.body)
	if r.cut {
		body = io.MultiReader(bytes.NewReader(r.body[:len(r.body)/2]), broken{})
	}
	return &http.Response{
		StatusCode: r.status, Status: fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: r.header, Body: io.NopCloser(body), ContentLength: int64(len(r.body)), Request: req,
	}, nil
}

// broken is the rest of a body that was cut off.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// ServeHTTP answers over a socket.
func (h *Host) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == keysPath {
		_, _ = w.Write(h.keys())
		return
	}
	r, err := h.answer(req)
	if err != nil || r.drop {
		panic(http.ErrAbortHandler) // net/http closes the connection
	}
	maps.Copy(w.Header(), r.header)
	w.Header().Set("Content-Length", fmt.Sprint(len(r.body)))
	w.WriteHeader(r.status)
	if r.cut {
		_, _ = w.Write(r.body[:len(r.body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(r.body)
}

var errUnverified = errors.New("azhosttest: the token is not one of this host's")
