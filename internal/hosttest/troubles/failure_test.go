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

// This file makes failures for TestTroubleshooting.

// transporter is a transport whose responses are not varied.
type transporter func(*http.Request) (*http.Response, error)

func (f transporter) Do(req *http.Request) (*http.Response, error) { return f(req) }

// failure makes one failure. Everything that may vary differs between occasions.
type failure func(o *occasion) error

// occasion is one occurrence of a failure.
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

// vary sets a transport whose responses differ in what errors must omit.
func (o *occasion) vary(opts *azhost.ManagedIdentityCredentialOptions) {
	if opts.Transport != nil {
		opts.Transport = varied{o, opts.Transport}
	}
}

type varied struct {
	*occasion
	next policy.Transporter
}

// Do adds request IDs and times to responses, source ports to network errors, and a delay to both.
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
	if err != nil { // a truncated body
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

// trailer returns what Microsoft Entra appends to its texts.
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

// ask requests a token with a new credential.
func (o *occasion) ask(opts *azhost.ManagedIdentityCredentialOptions) error {
	o.vary(opts)
	cred, err := azhost.NewManagedIdentityCredential(opts)
	if err == nil {
		_, err = token(o.Context(), cred)
	}
	return err
}

// fault is a failure of a VM that always responds with f.
func fault(f azhosttest.Fault) failure {
	return onFakeVM(nil, func(vm *azhosttest.VM) { vm.FailUntil(time.Now().Add(time.Hour), f) })
}

// by is a failure of w as IMDS, on a machine that isn't known to be an Azure VM.
func by(w policy.Transporter) failure {
	return func(o *occasion) error { return ask(o, onVM(o.T, w, o.vary)) }
}

// byKnown is a failure of w as IMDS, on a known Azure VM.
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

// body is a failure of IMDS's response with status 200 and this body.
func body(text string) failure {
	return byKnown(always(answer(200, text, "Server: IMDS/1.0")))
}

// hang is a host that accepts a request and doesn't respond.
func hang(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// challenged is a failure of an Arc server with these challenges.
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

// options is the error of the constructor or the first call with these options.
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

// variables is the error of the first call in an environment.
func variables(source azhost.Source, env ...string) failure {
	return func(o *occasion) error {
		for i := 0; i < len(env); i += 2 {
			o.Setenv(env[i], env[i+1])
		}
		return o.ask(&azhost.ManagedIdentityCredentialOptions{Source: source})
	}
}

// scoped is the error of GetToken with these scopes.
func scoped(scopes ...string) failure {
	return func(o *occasion) error {
		_, err := onVM(o.T, always(goodToken)).GetToken(o.Context(), policy.TokenRequestOptions{Scopes: scopes})
		return err
	}
}

// second is a failure of a VM that has returned a token before.
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

// troubles returns the failures by their message on the page.
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
