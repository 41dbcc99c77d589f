// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

//go:build unix

package attacks

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/azhost/azhost"
	"github.com/stretchr/testify/require"
)

// attacksHere returns attacks with files and paths that Windows doesn't have.
func attacksHere(t *testing.T, dir, outside string) []attack {
	for name, target := range map[string]string{
		"link.key": outside, "inside.key": "good.key", "zero.key": "/dev/zero", "environ.key": "/proc/self/environ",
		"linked": filepath.Dir(outside), "folder-link.key": filepath.Dir(outside),
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "fifo.key"), 0o600))
	in := func(name string) func(string) attack {
		return func(want string) attack { return attack{name, challenging(filepath.Join(dir, name)), want} }
	}
	return []attack{
		in("link.key")("is a link"),
		in("inside.key")("is a link"),
		in("zero.key")("is a link"),
		in("environ.key")("is a link"),
		in("folder-link.key")("is a link"),
		in("linked/shadow.key")("not in the agent's key directory"),
		in("fifo.key")("not a regular file"),
		{"a device", challenging("/dev/zero"), "not in the agent's key directory"},
		{"a Windows path", challenging(`C:\ProgramData\AzureConnectedMachineAgent\Tokens\a.key`), "not absolute"},
		{"a doubled root", challenging("/" + filepath.Join(dir, "good.key")), "not in the agent's key directory"},
		{"a dot", challenging(dir + "/./good.key"), "not in the agent's key directory"},
	}
}

// openFiles returns the number of file descriptors of this process.
func openFiles(t *testing.T) int {
	open, err := os.ReadDir("/dev/fd")
	require.NoError(t, err)
	return len(open)
}

// TestPreviousListenerGetsNoKey checks that the program that held the agent's port earlier gets no key,
// although it still holds a connection and relays the agent's challenge. The key goes to the program that
// listens now.
func TestPreviousListenerGetsNoKey(t *testing.T) {
	for name, client := range map[string]*http.Client{"default": nil, "a caller's": {Transport: &http.Transport{}}} {
		t.Run(name, func(t *testing.T) {
			keys := t.TempDir()
			key := filepath.Join(keys, "k.key")
			require.NoError(t, os.WriteFile(key, []byte(canary), 0o600))
			var proven atomic.Int32
			agent := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Header.Get("Authorization") == "" {
					w.Header().Set("WWW-Authenticate", "Basic realm="+key)
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				proven.Add(1)
				resp, _ := goodToken(req)
				_, _ = io.Copy(w, resp.Body)
			}))
			require.NoError(t, agent.Listener.Close())
			holder, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			address := holder.Addr().String()
			var heard safeBuffer
			left := make(chan struct{})
			go func() {
				defer close(left)
				conn, err := holder.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				request := make([]byte, 4096)
				n, _ := conn.Read(request)
				_ = holder.Close()
				agent.Listener, err = net.Listen("tcp", address)
				if err != nil {
					return
				}
				agent.Start()
				relay, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				defer relay.Close()
				_, _ = io.WriteString(relay, "GET /token HTTP/1.1\r\nHost: x\r\n\r\n")
				challenge := make([]byte, 4096)
				m, _ := relay.Read(challenge)
				_, _ = heard.Write(request[:n])
				_, _ = conn.Write(challenge[:m]) // which leaves the connection open
				for n, err = conn.Read(request); err == nil; n, err = conn.Read(request) {
					_, _ = heard.Write(request[:n])
				}
			}()
			o := &azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAzureArc, Endpoint: "http://" + address + "/token", ArcKeyDirectory: keys}
			o.Retry.MaxRetries = -1
			if client != nil {
				o.Transport = client
			}
			cred, err := azhost.NewManagedIdentityCredential(o)
			require.NoError(t, err)
			_, err = token(t.Context(), cred)
			<-left
			agent.Close()
			require.Contains(t, heard.String(), "GET /token", "the test doesn't notice what is sent")
			require.NotContains(t, heard.String(), canary)
			require.NoError(t, err)
			require.EqualValues(t, 1, proven.Load())
		})
	}
}
