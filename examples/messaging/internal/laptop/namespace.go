// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package laptop lets the examples run outside Azure. Your own programs don't need it.
//
// [NewServiceBus] and [NewEventHubs] start namespaces that implement as much of AMQP 1.0 as the clients need
// to send messages, and [NewKafka] starts a Kafka cluster. Each checks the signature, expiry, and audience of
// tokens from a fake Azure VM.
package laptop

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/Azure/go-amqp"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// Namespace is a fake Service Bus or Event Hubs namespace with AMQP over TLS on 127.0.0.1, and a
// fake Azure VM whose tokens it accepts. The fields are read-only. It is safe for concurrent use.
//
// A client may attach to an entity after it has put a token for the entity to $cbs. The namespace accepts
// every message that is sent to the entity. Unlike the services, it has all entities and roles, it delivers
// no messages, and it doesn't close links when their token expires.
type Namespace struct {
	Address string                                   // a client's CustomEndpoint
	TLS     *tls.Config                              // trusts its certificate
	Machine *azhost.ManagedIdentityCredentialOptions // for the VM's identity
	VM      *azhosttest.VM

	resource string
	listener net.Listener
	all      sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	open     map[net.Conn]bool
	closed   bool
	claims   []*amqp.Message
	messages []*amqp.Message
}

// NewServiceBus starts a Service Bus namespace.
func NewServiceBus() (*Namespace, error) { return newNamespace("https://servicebus.azure.net/") }

// NewEventHubs starts an Event Hubs namespace.
func NewEventHubs() (*Namespace, error) { return newNamespace("https://eventhubs.azure.net/") }

func newNamespace(resource string) (*Namespace, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server, client := certificate()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		vm.Close()
		return nil, err
	}
	n := &Namespace{
		Address: listener.Addr().String(), TLS: client, Machine: vm.Options(), VM: vm,
		resource: resource, listener: listener, open: map[net.Conn]bool{},
	}
	n.all.Go(n.accept)
	return n, nil
}

// certificate returns two TLS configurations: a server's with httptest's certificate for 127.0.0.1, and a
// client's that trusts it.
func certificate() (server, client *tls.Config) {
	web := httptest.NewTLSServer(nil)
	defer web.Close()
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	return &tls.Config{Certificates: web.TLS.Certificates}, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"}
}

// Close stops the namespace, its connections, and the VM.
func (n *Namespace) Close() {
	n.mu.Lock()
	n.closed = true
	for c := range n.open {
		_ = c.Close()
	}
	n.mu.Unlock()
	_ = n.listener.Close()
	n.all.Wait()
	n.VM.Close()
}

// Claims returns the put-token requests that clients have sent to $cbs, accepted or not. Their
// value is the token.
func (n *Namespace) Claims() []*amqp.Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.claims)
}

// Messages returns the messages that the namespace has accepted.
func (n *Namespace) Messages() []*amqp.Message {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.messages)
}

func (n *Namespace) accept() {
	for {
		c, err := n.listener.Accept()
		if err != nil {
			return
		}
		n.mu.Lock()
		if n.closed {
			_ = c.Close()
		}
		n.open[c] = true
		n.mu.Unlock()
		n.all.Go(func() {
			_ = (&conn{namespace: n, Conn: c, links: map[linkKey]*link{}, granted: map[string]bool{}}).serve()
			_ = c.Close()
			n.mu.Lock()
			delete(n.open, c)
			n.mu.Unlock()
		})
	}
}

// putToken returns the reason to reject a put-token request, or nil.
func (n *Namespace) putToken(m *amqp.Message) error {
	n.mu.Lock()
	n.claims = append(n.claims, m)
	n.mu.Unlock()
	if operation := m.ApplicationProperties["operation"]; operation != "put-token" {
		return fmt.Errorf("the operation is %v, not put-token", operation)
	}
	if kind := m.ApplicationProperties["type"]; kind != "jwt" {
		return fmt.Errorf("the token's type is %v, not jwt", kind)
	}
	token, _ := m.Value.(string)
	claims, err := n.VM.Verify(token)
	if err != nil {
		return err
	}
	if claims["aud"] != n.resource {
		return fmt.Errorf("the token is for %v, not %s", claims["aud"], n.resource)
	}
	return nil
}
