// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kafka is a fake Event Hubs namespace with Kafka over TLS on 127.0.0.1, and a fake Azure VM whose
// tokens it accepts. The fields are read-only. It is safe for concurrent use.
//
// It is a kfake cluster that requires SASL. kfake doesn't support OAUTHBEARER, so Kafka verifies the token
// and then signs in the client's connection as a user that kfake knows.
type Kafka struct {
	Options []kgo.Opt                                // point a client to the cluster
	Machine *azhost.ManagedIdentityCredentialOptions // for the VM's identity
	VM      *azhosttest.VM

	resource string
	cluster  *kfake.Cluster

	mu     sync.Mutex // guards tokens
	tokens []string
}

// NewKafka starts a namespace with one event hub.
func NewKafka(namespace, hub string) (*Kafka, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server, client := certificate()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, hub), kfake.TLS(server),
		kfake.EnableSASL(), kfake.Superuser("PLAIN", "laptop", "laptop"))
	if err != nil {
		vm.Close()
		return nil, err
	}
	k := &Kafka{
		Options: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DialTLSConfig(client)},
		Machine: vm.Options(), VM: vm, resource: "https://" + namespace, cluster: cluster,
	}
	cluster.ControlKey(int16(kmsg.SASLHandshake), k.handshake)
	cluster.ControlKey(int16(kmsg.SASLAuthenticate), k.authenticate)
	return k, nil
}

// Close stops the cluster and the VM.
func (k *Kafka) Close() {
	k.cluster.Close()
	k.VM.Close()
}

// Tokens returns the tokens that clients have signed in with, accepted or not.
func (k *Kafka) Tokens() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.tokens)
}

// handshake allows only OAUTHBEARER, and requests PLAIN from kfake instead.
func (k *Kafka) handshake(r kmsg.Request) (kmsg.Response, error, bool) {
	request := r.(*kmsg.SASLHandshakeRequest)
	if request.Mechanism != "OAUTHBEARER" {
		k.cluster.KeepControl()
		response := request.ResponseKind().(*kmsg.SASLHandshakeResponse)
		response.ErrorCode, response.SupportedMechanisms = kerr.UnsupportedSaslMechanism.Code, []string{"OAUTHBEARER"}
		return response, nil, true
	}
	request.Mechanism = "PLAIN"
	return nil, nil, false
}

// authenticate verifies the token, and gives kfake a password instead.
func (k *Kafka) authenticate(r kmsg.Request) (kmsg.Response, error, bool) {
	request := r.(*kmsg.SASLAuthenticateRequest)
	if err := k.verify(string(request.SASLAuthBytes)); err != nil {
		k.cluster.KeepControl()
		response, message := request.ResponseKind().(*kmsg.SASLAuthenticateResponse), err.Error()
		response.ErrorCode, response.ErrorMessage = kerr.SaslAuthenticationFailed.Code, &message
		return response, nil, true
	}
	request.SASLAuthBytes = []byte("\x00laptop\x00laptop")
	return nil, nil, false
}

// verify returns what is wrong with an OAUTHBEARER client's message (RFC 7628, section 3.1), or nil.
func (k *Kafka) verify(message string) error {
	token, ok := strings.CutPrefix(message, "n,,\x01auth=Bearer ")
	token, _, more := strings.Cut(token, "\x01")
	if !ok || !more {
		return fmt.Errorf("malformed OAUTHBEARER message")
	}
	k.mu.Lock()
	k.tokens = append(k.tokens, token)
	k.mu.Unlock()
	claims, err := k.VM.Verify(token)
	if err != nil {
		return err
	}
	if claims["aud"] != k.resource {
		return fmt.Errorf("the token is for %v, not %s", claims["aud"], k.resource)
	}
	return nil
}
