// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/azhost/azhost/azhosttest"
)

// laptop is what the program uses without -url: a TLS service on localhost, and a fake Azure VM whose
// tokens the service accepts.
type laptop struct {
	vm       *azhosttest.VM
	service  *httptest.Server
	resource string

	mu      sync.Mutex // guards the fields below
	revoked string     // the first token
	bodies  []string   // of the accepted requests
}

func newLaptop(resource string) (*laptop, error) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &laptop{vm: vm, resource: resource}
	l.service = httptest.NewTLSServer(l)
	return l, nil
}

func (l *laptop) close() {
	l.service.Close()
	l.vm.Close()
}

// ServeHTTP accepts the VM's tokens for the resource, except the first one. To that one, it responds as a
// service with Continuous Access Evaluation does after the identity's rights have changed.
func (l *laptop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims, err := l.vm.Verify(token)
	if err != nil || claims["aud"] != l.resource {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "not a token for "+l.resource, http.StatusUnauthorized)
		return
	}
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.revoked == "" {
		l.revoked = token
	}
	if token == l.revoked {
		wanted := base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"nbf":{"essential":true,"value":"1790000000"}}}`))
		w.Header().Set("WWW-Authenticate", `Bearer realm="", error="insufficient_claims", claims="`+wanted+`"`)
		http.Error(w, "the token was revoked", http.StatusUnauthorized)
		return
	}
	l.bodies = append(l.bodies, string(body))
	fmt.Fprintf(w, "hello, identity %v", claims["oid"])
}
