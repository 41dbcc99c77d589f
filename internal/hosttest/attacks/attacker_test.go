// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package attacks

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"testing"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// attacker listens on the port of an Arc agent that is down, and sends raw bytes on every connection.
type attacker struct {
	listener net.Listener
	heard    safeBuffer      // all that was sent to it
	accepted chan struct{}   // one for every connection
	answer   func(io.Writer) // writes the response; then the connection is closed
	done     chan struct{}   // closed when serve has returned
}

func newAttacker(t *testing.T, answer func(io.Writer)) *attacker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	a := &attacker{listener: l, answer: answer, accepted: make(chan struct{}, 100), done: make(chan struct{})}
	go a.serve()
	t.Cleanup(a.close)
	return a
}

func (a *attacker) close() {
	_ = a.listener.Close()
	<-a.done
}

func (a *attacker) serve() {
	defer close(a.done)
	for {
		conn, err := a.listener.Accept()
		if err != nil {
			return
		}
		a.accepted <- struct{}{}
		for header := []byte{}; !bytes.HasSuffix(header, []byte("\r\n\r\n")); {
			b := make([]byte, 1)
			if _, err := conn.Read(b); err != nil {
				break
			}
			header = append(header, b...)
			_, _ = a.heard.Write(b)
		}
		a.answer(conn)
		_ = conn.Close()
	}
}

// victim returns a credential with the default transport that takes the attacker for the agent.
func (a *attacker) victim(t *testing.T, keys string) *azhost.ManagedIdentityCredential {
	t.Helper()
	o := &azhost.ManagedIdentityCredentialOptions{
		// The path is unique, because another test may have used the port, and its failure may be
		// remembered.
		Source: azhost.SourceAzureArc, Endpoint: "http://" + a.listener.Addr().String() + "/token/" + rand.Text(), ArcKeyDirectory: keys,
	}
	o.Retry.MaxRetries = -1
	cred, err := azhost.NewManagedIdentityCredential(o)
	require.NoError(t, err)
	return cred
}

// challenging is a response that names a path, unquoted and unescaped.
func challenging(path string) func(io.Writer) {
	return says("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=" + path + "\r\nContent-Length: 0\r\n\r\n")
}

func says(text string) func(io.Writer) {
	return func(w io.Writer) { _, _ = io.WriteString(w, text) }
}
