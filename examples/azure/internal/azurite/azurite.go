// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azurite runs Microsoft's storage emulator, for the tests of the examples.
package azurite

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/stretchr/testify/require"
)

// Blob is a running blob service.
type Blob struct {
	Account string               // URL of the one account
	Client  azcore.ClientOptions // trust the service's certificate
}

// listening is what the service says on its standard output when it is ready.
var listening = regexp.MustCompile(`successfully listen\w* (?:at|on) (https://[0-9.:]+)`)

// Start starts azurite-blob from the PATH, which checks issuer, audience and expiry of tokens, but
// not their signature, and ends it with the test. It skips the test where there is none.
func Start(t testing.TB) *Blob {
	t.Helper()
	program, err := exec.LookPath("azurite-blob")
	if err != nil {
		t.Skip("no azurite-blob on the PATH; to install it: npm install -g azurite@3.35.0")
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := certify(t, cert, key)

	cmd := exec.Command(program, "--oauth", "basic", "--cert", cert, "--key", key, "--blobHost", "127.0.0.1", "--blobPort", "0",
		"--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	drained := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait() // an error, for it was killed
	})

	lines := bufio.NewScanner(stdout)
	url, said := "", ""
	for url == "" && lines.Scan() {
		said += lines.Text() + "\n"
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			url = m[1]
		}
	}
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, stdout)
	}()
	if url == "" {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait()
		t.Fatalf("azurite-blob ended before it listened; it wrote %q and %q", said, stderr.String())
	}

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	return &Blob{
		Account: url + "/devstoreaccount1",
		Client:  azcore.ClientOptions{Transport: &http.Client{Transport: transport}},
	}
}

// certify writes a certificate for 127.0.0.1 that signs itself, and its key.
func certify(t testing.TB, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "azurite"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}
