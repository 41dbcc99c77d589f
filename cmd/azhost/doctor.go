// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
)

// doctorTimeout limits an examination. The Arc agent's state and the endpoint get a quarter each, and the
// token request gets half.
const doctorTimeout = 20 * time.Second

// doctorRun is one run of "azhost doctor".
type doctorRun struct {
	request
	json, verbose, watch bool
	answered             bool // IMDS responded to an earlier examination of this run
}

func (r *doctorRun) flags(flags *flag.FlagSet) {
	r.request.flags(flags, doctorTimeout)
	flags.BoolVar(&r.json, "json", false, "")
	flags.BoolVar(&r.verbose, "v", false, "")
	flags.BoolVar(&r.verbose, "verbose", false, "")
	flags.BoolVar(&r.watch, "watch", false, "")
}

func (r *doctorRun) run(ctx context.Context, args arguments, p process) error {
	if err := r.resolve(args, "arm"); err != nil {
		return err
	}
	if r.watch {
		return r.watchChanges(ctx, p)
	}
	d, err := r.examine(ctx, p)
	if err != nil {
		return err
	}
	if r.json {
		err = writeJSON(p.out, d.report)
	} else {
		err = d.report.write(p.out, r.verbose)
	}
	if err != nil {
		return err
	}
	if d.report.ExitCode != exitOK {
		return statusError{reportedError{errors.New(d.report.Verdict)}, d.report.ExitCode}
	}
	return nil
}

// examine returns a complete examination. It fails only for an invalid command line or if it is interrupted.
func (r *doctorRun) examine(ctx context.Context, p process) (*doctor, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("--timeout %s", r.timeout))
	defer cancel()
	d := &doctor{process: p, request: r.request, facts: p.facts(), answered: r.answered}
	d.report.Version, _ = version()
	if err := d.examine(bounded); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return d, nil
}

// doctor is one examination.
type doctor struct {
	process
	request   request
	facts     facts
	answered  bool // as in doctorRun
	report    report
	source    azhost.Source
	responded bool   // the endpoint responded to the probe
	server    string // the Server header of its response
	keysErr   error  // why the key directory can't be read
	agent     agentStatus
	identity  string // the token's, to compare with the next token's
}

// examine makes the report. It fails only for an invalid command line.
func (d *doctor) examine(ctx context.Context) error {
	d.environment()
	d.disk(ctx)
	d.host()
	cred, err := credential(d.options())
	if err != nil {
		return err
	}
	start := time.Now()
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{d.request.resource}})
	end := time.Now()
	r, what, remedy := reasonOK, "", ""
	if err != nil {
		r, what, remedy = explain(err, d.source, d.request.identity())
	}
	if r != reasonEnvironment { // the endpoint may be what is invalid
		d.proxy()
		if d.source == azhost.SourceAzureArc {
			d.keys()
		}
		d.endpoint(ctx)
	}
	if err != nil {
		r = d.diagnose(err, r)
		d.failed(r, what, d.remedy(r, remedy))
	} else {
		d.report.add(ok, "token", fmt.Sprintf("for %s, after %s", printable(d.request.target()), end.Sub(start).Round(time.Millisecond)), "")
		d.claims(token.Token, end)
	}
	d.conclude(r)
	return nil
}

// failed reports the failure of the token request, without what other findings say already.
func (d *doctor) failed(r reason, what, remedy string) {
	for _, n := range d.facts.env.Notes() {
		what = strings.Replace(what, ". "+n, "", 1)
	}
	if f := d.report.find("key-directory"); f != nil && f.Status == bad && (r == reasonKeyUnreadable || r == reasonKeyMissing) {
		remedy = ""
	}
	d.report.add(bad, "token", what, remedy)
}

// options returns the options of a credential that makes one attempt, to report the present state.
func (d *doctor) options() *azhost.ManagedIdentityCredentialOptions {
	o := d.request.options(d.transport)
	if o.Source == "" && (d.source == azhost.SourceAzureArc || d.facts.azureVM || d.answered) {
		o.Source = d.source
	}
	o.Retry.MaxRetries, o.Retry.TryTimeout = -1, d.request.timeout/2
	o.PerCallPolicies = []policy.Policy{unshared{}}
	return o
}

// unshared is a policy that does nothing. A credential that has one shares neither tokens nor
// failures, so each examination requests a token, without the claims that would bypass a host's cache.
type unshared struct{}

func (unshared) Do(req *policy.Request) (*http.Response, error) { return req.Next() }

// diagnose corrects the reason for an error, based on the other findings.
func (d *doctor) diagnose(err error, r reason) reason {
	if d.source != azhost.SourceAzureArc || !d.responded {
		return r
	}
	switch {
	case errors.Is(err, fs.ErrPermission) || errors.Is(d.keysErr, fs.ErrPermission):
		return reasonKeyUnreadable
	case errors.Is(err, fs.ErrNotExist) || errors.Is(d.keysErr, fs.ErrNotExist):
		return reasonKeyMissing
	case d.agent.Status != "" && !d.agent.connected() && !entraCode.MatchString(err.Error()):
		return reasonAgentDisconnected
	}
	return r
}

// conclude completes the report.
func (d *doctor) conclude(r reason) {
	d.report.OK, d.report.Reason, d.report.ExitCode = r == reasonOK, r, r.exitCode()
	d.report.Verdict, d.report.Next = d.verdict(r), d.next(r)
	if r != reasonOK {
		d.report.URL = r.url(d.source)
	}
}
