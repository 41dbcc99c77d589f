// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// This file has the ways to make a failure, for TestTroubleshooting.

// transporter is a transport that leaves its answers as they are.
type transporter func(*http.Request) (*http.Response, error)

func (f transporter) Do(req *http.Request) (*http.Response, error) { return f(req) }

// failure makes one failure. All that may vary differs from occasion to occasion.
type failure func(o *occasion) error

// occasion is one time that a failure happens.
type occasion struct {
	*testing.T
	n int // 1 or 2
}

// id is a GUID that is different on every occasion.
func (o *occasion) id(kind int) string {
	return fmt.Sprintf("%08d-0000-4000-8000-%012d", kind, o.n)
}

// letter replaces K in the name of a key file.
func (o *occasion) letter(name string) string {
	return strings.ReplaceAll(name, "K", string(rune('a'+o.n)))
}

// vary sets a transport whose answers differ in what has no place in an error.
func (o *occasion) vary(opts *azhost.ManagedIdentityCredentialOptions) {
	if opts.Transport != nil {
		opts.Transport = varied{o, opts.Transport}
	}
}

type varied struct {
	*occasion
	next policy.Transporter
}

// Do adds request IDs and times to answers, source ports to network errors, and a delay to both.
func (v varied) Do(req *http.Request) (*http.Response, error) {
	time.Sleep(time.Duration(v.n) * 7 * time.Millisecond)
	resp, err := v.next.Do(req)
	if network, ok := errors.AsType[*net.OpError](err); ok {
		own := *network
		own.Source = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 4), Port: 40000 + v.n}
		own.Addr = &net.TCPAddr{IP: net.IPv4(169, 254, 169, 254), Port: 80}
		return nil, &own
	}
	if err != nil || resp == nil {
		return resp, err
	}
	if resp.Header == nil {
		resp.Header = http.Header{}
	}
	resp.Header.Set("x-ms-request-id", v.id(1))
	resp.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if resp.StatusCode/100 == 2 || resp.Body == nil {
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil { // it is cut short
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), iotest.ErrReader(err)))
		return resp, nil
	}
	resp.Body = io.NopCloser(strings.NewReader(v.annotate(string(body))))
	resp.ContentLength = -1
	return resp, nil
}

// annotate adds IDs and times to the body of an error.
func (o *occasion) annotate(body string) string {
	var fields map[string]any
	switch {
	case body == "": // which is a sign of the Metadata Security Protocol
		return ""
	case json.Unmarshal([]byte(body), &fields) != nil:
		return body + o.trailer()
	}
	inner := fields
	if e, ok := fields["error"].(map[string]any); ok {
		inner = e
	}
	for _, name := range []string{"error_description", "message"} {
		if text, ok := inner[name].(string); ok {
			inner[name] = text + o.trailer()
		}
	}
	inner["correlationId"] = o.id(2)
	text, err := json.Marshal(fields)
	require.NoError(o, err)
	return string(text)
}

// trailer is what Microsoft Entra ends its texts with.
func (o *occasion) trailer() string {
	return fmt.Sprintf("\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: 2026-11-25 10:00:%02dZ", o.id(3), o.id(4), o.n)
}

// onFakeVM is a failure on a VM that set changes.
func onFakeVM(id azhost.ManagedIDKind, set func(*azhosttest.VM)) failure {
	return func(o *occasion) error {
		vm := azhosttest.NewVM(o)
		set(vm)
		opts := vm.InMemory()
		opts.ID = id
		return o.ask(opts)
	}
}

// onFakeArc is a failure on an Arc server that set changes.
func onFakeArc(id azhost.ManagedIDKind, set func(*azhosttest.Arc)) failure {
	return func(o *occasion) error {
		a := azhosttest.NewArc(o)
		set(a)
		opts := a.InMemory()
		opts.ID = id
		return o.ask(opts)
	}
}

// ask asks for a token with a credential of its own.
func (o *occasion) ask(opts *azhost.ManagedIdentityCredentialOptions) error {
	o.vary(opts)
	cred, err := azhost.NewManagedIdentityCredential(opts)
	if err == nil {
		_, err = token(o.Context(), cred)
	}
	return err
}

// fault is a VM's answer, for good.
func fault(f azhosttest.Fault) failure {
	return onFakeVM(nil, func(vm *azhosttest.VM) { vm.FailUntil(time.Now().Add(time.Hour), f) })
}

// by is a failure of IMDS, which is a transport at an address where nothing is known.
func by(w policy.Transporter) failure {
	return func(o *occasion) error { return ask(o, onVM(o.T, w, o.vary)) }
}

// byKnown is a failure of an IMDS that is worth waiting for.
func byKnown(w policy.Transporter) failure {
	return func(o *occasion) error { return ask(o, onVM(o.T, w, known, o.vary)) }
}

func ask(o *occasion, cred *azhost.ManagedIdentityCredential) error {
	_, err := token(o.Context(), cred)
	return err
}

// refusal is an error of a known IMDS.
func refusal(status int, code, description string) failure {
	body, err := json.Marshal(map[string]string{"error": code, "error_description": description})
	if err != nil {
		panic(err)
	}
	return byKnown(always(answer(status, string(body), "Server: IMDS/1.0")))
}

// body is a failure of a VM with an answer of IMDS's.
func body(text string) failure {
	return byKnown(always(answer(200, text, "Server: IMDS/1.0")))
}

// hang is a host that takes a request and does not answer.
func hang(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// challenged is a failure of an Arc server with other challenges.
func challenged(values ...string) failure {
	return onFakeArc(nil, func(a *azhosttest.Arc) { a.SetChallenge(func(string) []string { return values }) })
}

// named is a failure of an Arc server whose challenge names another file in its directory.
func named(name string, write func(t *testing.T, path string)) failure {
	return func(o *occasion) error {
		dir := o.TempDir()
		path := filepath.Join(dir, o.letter(name))
		if write != nil {
			write(o.T, path)
		}
		return o.ask(arcOptions(always(answer(401, "", "WWW-Authenticate: Basic realm="+path)), dir))
	}
}

// options is what the constructor, or the first call, says to options.
func options(opts azhost.ManagedIdentityCredentialOptions, env ...string) failure {
	return func(o *occasion) error {
		for i := 0; i < len(env); i += 2 {
			o.Setenv(env[i], env[i+1])
		}
		own := opts
		if own.Transport == nil {
			own.Transport = always(refusedDial)
		}
		return o.ask(&own)
	}
}

// variables is what the first call says in an environment.
func variables(source azhost.Source, env ...string) failure {
	return func(o *occasion) error {
		for i := 0; i < len(env); i += 2 {
			o.Setenv(env[i], env[i+1])
		}
		return o.ask(&azhost.ManagedIdentityCredentialOptions{Source: source})
	}
}

// scoped is what GetToken says to scopes.
func scoped(scopes ...string) failure {
	return func(o *occasion) error {
		_, err := onVM(o.T, always(goodToken)).GetToken(o.Context(), policy.TokenRequestOptions{Scopes: scopes})
		return err
	}
}

// second is a failure of a VM that has given a token before.
func second(then func(*http.Request) (*http.Response, error)) failure {
	return func(o *occasion) error {
		cred := onVM(o.T, &wire{Answer: func(n int, req *http.Request) (*http.Response, error) {
			if n == 1 {
				return goodToken(req)
			}
			return then(req)
		}}, o.vary)
		_, err := token(o.Context(), cred)
		require.NoError(o, err)
		_, err = cred.GetToken(o.Context(), policy.TokenRequestOptions{Scopes: []string{"another"}})
		return err
	}
}

func endpoint(source azhost.Source, url string) failure {
	return options(azhost.ManagedIdentityCredentialOptions{Source: source, Endpoint: url})
}

// troubles are the failures by their message on the page.
func troubles() map[string]*trouble {
	all := map[string]*trouble{}
	for _, some := range []map[string]*trouble{hostTroubles(), arcTroubles(), platformTroubles(), programTroubles(), answerTroubles()} {
		for message := range some {
			if _, twice := all[message]; twice {
				panic("two failures for " + message)
			}
		}
		maps.Copy(all, some)
	}
	return all
}
