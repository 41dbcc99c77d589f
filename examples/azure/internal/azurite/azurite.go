// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package azurite runs Azurite, Microsoft's storage emulator, in the tests of the examples.
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
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// Azurite is a running emulator. It checks the issuer, audience, and expiry of tokens, but not their
// signature.
type Azurite struct {
	Blob, Queue, Table string               // URLs of the account's services
	Client             azcore.ClientOptions // options for clients, which trust the emulator's certificate
}

// listening matches what Azurite prints when a service is ready.
var listening = regexp.MustCompile(`(Blob|Queue|Table) service is successfully listening at (https://[0-9.:]+)`)

// Start starts azurite from the PATH, and stops it when the test ends. If it isn't on the PATH, Start
// skips the test.
func Start(t testing.TB) *Azurite {
	t.Helper()
	program, err := exec.LookPath("azurite")
	if err != nil {
		t.Skip("azurite is not on the PATH. To install it, run: npm install -g azurite@3.35.0")
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := certify(t, cert, key)

	cmd := exec.Command(program, "--oauth", "basic", "--cert", cert, "--key", key,
		"--blobHost", "127.0.0.1", "--blobPort", "0", "--queueHost", "127.0.0.1", "--queuePort", "0", "--tableHost", "127.0.0.1", "--tablePort", "0",
		"--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent")
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	drained := make(chan struct{})
	stop := func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait() // returns an error because the process was killed
	}
	t.Cleanup(stop)

	urls, output := make(map[string]string), ""
	for lines := bufio.NewScanner(stdout); len(urls) < 3 && lines.Scan(); {
		output += lines.Text() + "\n"
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			urls[m[1]] = m[2] + "/devstoreaccount1"
		}
	}
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, stdout)
	}()
	if len(urls) < 3 {
		stop() // so that stderr is complete
		t.Fatalf("azurite exited before its services were listening: stdout %q, stderr %q", output, stderr.String())
	}

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	return &Azurite{
		Blob: urls["Blob"], Queue: urls["Queue"], Table: urls["Table"],
		Client: azcore.ClientOptions{Transport: &http.Client{Transport: transport}},
	}
}

// RequireChecks requires that a request fails with a token that has expired or has a wrong audience or
// issuer. call sends a request with a VM's token.
func RequireChecks(t *testing.T, call func(machine *azhost.ManagedIdentityCredentialOptions) error) {
	t.Helper()
	for _, row := range []struct {
		name   string
		claims map[string]any
		want   string
	}{
		{"wrong audience", map[string]any{"aud": "https://vault.azure.net"}, "Invalid token audience."},
		{"wrong issuer", map[string]any{"iss": "https://issuer.example/"}, "Invalid token issuer."},
		{"expired", map[string]any{"exp": 1}, "Lifetime validation failed. The token is expired."},
	} {
		t.Run(row.name, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			vm.SetClaims(row.claims)
			require.ErrorContains(t, call(vm.InMemory()), row.want)
		})
	}
}

// certify writes a self-signed certificate for 127.0.0.1 and its key.
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
