// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// laptop is what the program starts: a TLS service on localhost that checks the token and, without -real, a
// fake Arc agent.
type laptop struct {
	options *azhost.ManagedIdentityCredentialOptions // nil means the machine's own host
	scope   string
	service *httptest.Server
	note    string // about the host
	agent   *azhosttest.Arc
}

func newLaptop(realHost bool, resource string) (*laptop, error) {
	l := &laptop{scope: resource + "/.default"}
	verify := claims // only the service that a real token is for can check its signature
	if !realHost {
		var err error
		if l.agent, err = azhosttest.ListenArc("127.0.0.1:0", ""); err != nil {
			return nil, err
		}
		verify = l.agent.Verify
		l.options, l.note = l.agent.Options(), ", a fake at "+l.agent.Endpoint()
	}
	l.service = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		claims, err := verify(token)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusUnauthorized)
		case strings.TrimSuffix(fmt.Sprint(claims["aud"]), "/") != strings.TrimSuffix(resource, "/"):
			http.Error(w, fmt.Sprintf("the token's audience is %v", claims["aud"]), http.StatusUnauthorized)
		default:
			fmt.Fprintf(w, "hello, identity %v of tenant %v", claims["oid"], claims["tid"])
		}
	}))
	return l, nil
}

func (l *laptop) close() {
	l.service.Close()
	if l.agent != nil {
		l.agent.Close()
	}
}

// claims decodes a token without checking it.
func claims(token string) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("the token isn't a JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("the token isn't a JWT: %w", err)
	}
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("the token isn't a JWT: %w", err)
	}
	return c, nil
}
