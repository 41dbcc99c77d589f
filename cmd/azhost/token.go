// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

// tokenTimeout leaves room for IMDS's documented schedule of retries, up to 128 s of pauses.
const tokenTimeout = 150 * time.Second

func runToken(ctx context.Context, args []string, p process) error {
	var r request
	flags := flag.NewFlagSet("token", flag.ContinueOnError)
	r.flags(flags, "", tokenTimeout)
	form := flags.String("o", "token", "")
	if err := parse(flags, args); err != nil {
		return err
	}
	if r.resource == "" {
		return usageError{errors.New("--resource is missing; write for example --resource https://vault.azure.net")}
	}
	if err := r.check(); err != nil {
		return err
	}
	write := forms()[*form]
	if write == nil {
		return usageError{fmt.Errorf("-o %q is none of token, json, header, env, exec-credential", *form)}
	}
	cred, err := credential(r.options(p.transport))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("--timeout %s", r.timeout))
	defer cancel()
	stop := p.progress(cred.Source())
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{r.resource}})
	stop()
	if err != nil {
		return err
	}
	return write(p.stdout, answer{token, r.target(), cred.Source()})
}

// answer is a token and what it is for.
type answer struct {
	azcore.AccessToken
	resource string
	source   azhost.Source
}

// forms are the values of -o.
func forms() map[string]func(io.Writer, answer) error {
	return map[string]func(io.Writer, answer) error{
		"token": func(w io.Writer, a answer) error {
			_, err := fmt.Fprintln(w, a.Token)
			return err
		},
		"header": func(w io.Writer, a answer) error {
			_, err := fmt.Fprintln(w, "Authorization: Bearer "+a.Token)
			return err
		},
		"env": func(w io.Writer, a answer) error {
			_, err := fmt.Fprintf(w, "export AZURE_ACCESS_TOKEN=%s\nexport AZURE_ACCESS_TOKEN_EXPIRES_ON=%s\n",
				quoted(a.Token), quoted(stamp(a.ExpiresOn)))
			return err
		},
		"json":            writeJSONToken,
		"exec-credential": writeExecCredential,
	}
}

func writeJSONToken(w io.Writer, a answer) error {
	v := struct {
		AccessToken string        `json:"accessToken"`
		ExpiresOn   string        `json:"expiresOn"`
		RefreshOn   string        `json:"refreshOn,omitempty"`
		Resource    string        `json:"resource"`
		Source      azhost.Source `json:"source"`
		TokenType   string        `json:"tokenType"`
	}{a.Token, stamp(a.ExpiresOn), "", a.resource, a.source, "Bearer"}
	if !a.RefreshOn.IsZero() {
		v.RefreshOn = stamp(a.RefreshOn)
	}
	return writeJSON(w, v)
}

// writeExecCredential writes what kubectl wants from a credential plugin.
func writeExecCredential(w io.Writer, a answer) error {
	type status struct {
		ExpirationTimestamp string `json:"expirationTimestamp"`
		Token               string `json:"token"`
	}
	return writeJSON(w, struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Status     status `json:"status"`
	}{"client.authentication.k8s.io/v1", "ExecCredential", status{stamp(a.ExpiresOn), a.Token}})
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// stamp is a time as kubectl, jq and people read it.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// quoted is s for a POSIX shell.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

const (
	progressAfter = 2 * time.Second
	progressEvery = 5 * time.Second
)

// progress says on a terminal that a wait is a wait. The function that it returns ends that.
func (p process) progress(source azhost.Source) (stop func()) {
	if !p.terminal {
		return func() {}
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		start := time.Now()
		for pause := progressAfter; ; pause = progressEvery {
			select {
			case <-time.After(pause):
				fmt.Fprintf(p.stderr, "azhost: waiting for %s, %s so far\n", source, time.Since(start).Round(time.Second))
			case <-done:
				return
			}
		}
	})
	return func() { close(done); running.Wait() }
}
