// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/internal/keyfile"
)

// doctorTimeout bounds an examination: the Arc agent's state, a probe, and a token request.
const doctorTimeout = 10 * time.Second

// doctorRun is one run of "azhost doctor".
type doctorRun struct {
	request
	json, verbose, watch bool
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
	d, err := r.examine(ctx, p, policy.TokenRequestOptions{})
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

// examine returns a complete examination. It fails only for an invalid command line and when it is
// interrupted.
func (r *doctorRun) examine(ctx context.Context, p process, opts policy.TokenRequestOptions) (*doctor, error) {
	bounded, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("--timeout %s", r.timeout))
	defer cancel()
	d := &doctor{process: p, request: r.request, facts: p.facts()}
	d.report.Version, _ = version()
	opts.Scopes = []string{r.resource}
	err := d.examine(bounded, opts)
	if _, wrong := errors.AsType[usageError](err); wrong {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	d.conclude(err)
	return d, nil
}

// doctor is one examination.
type doctor struct {
	process
	request   request
	facts     facts
	report    report
	source    azhost.Source
	responded bool   // the endpoint did, to the probe
	status    int    // of its response
	server    string // the Server header of its response
	keysErr   error  // why the key directory can't be read
	agent     agentStatus
	identity  string // of the token, for a comparison with the next one
}

// examine adds the findings, and returns the error of the token request.
func (d *doctor) examine(ctx context.Context, opts policy.TokenRequestOptions) error {
	d.environment()
	d.disk(ctx)
	d.host()
	o := d.request.options(d.transport)
	if o.Source == "" {
		o.Source = d.source // request a token from the host that was reported
	}
	o.Retry.MaxRetries = -1 // report the present state
	cred, err := credential(o)
	if err != nil {
		if _, wrong := errors.AsType[usageError](err); !wrong {
			d.report.add(bad, "environment", plain(err), "")
		}
		return err
	}
	d.proxy()
	if d.source == azhost.SourceAzureArc {
		d.keys()
	}
	d.endpoint(ctx, d.source)
	return d.token(ctx, cred, opts)
}

// environment reports the variables that tell hosts apart.
func (d *doctor) environment() {
	env := d.facts.env
	for _, v := range []struct{ name, value, shown string }{
		{"IDENTITY_ENDPOINT", env.IdentityEndpoint, "set to " + place(env.IdentityEndpoint)},
		{"IDENTITY_HEADER", env.IdentityHeader, "set; the value is a secret"},
		{"IDENTITY_SERVER_THUMBPRINT", env.Thumbprint, "set"},
		{"IMDS_ENDPOINT", env.IMDSEndpoint, "set to " + place(env.IMDSEndpoint)},
		{"MSI_ENDPOINT", env.MSIEndpoint, "set to " + place(env.MSIEndpoint)},
		{"MSI_SECRET", env.MSISecret, "set; the value is a secret"},
	} {
		if v.value == "" {
			v.shown = "not set"
		}
		d.report.add(ok, v.name, v.shown, "")
	}
	if d.facts.containerGroup {
		return // which sets variables of Service Fabric without IDENTITY_ENDPOINT
	}
	for _, n := range env.Notes() {
		const remedy = "Unset the variables that are left over, or set those that are missing."
		name, _, _ := strings.Cut(n, " ")
		if f := d.report.find(name); f != nil && f.Status == ok {
			f.Status, f.Detail, f.Remedy = note, printable(strings.Replace(n, name+" is ", "is ", 1)), remedy
			continue
		}
		d.report.add(note, "environment", printable(n), remedy)
	}
}

// disk reports the agents on disk and the firmware.
func (d *doctor) disk(ctx context.Context) {
	if path := d.facts.env.Himds; path != "" {
		d.report.add(ok, "arc-agent", path+" is installed", "")
		d.agentStatus(ctx)
	} else {
		d.report.add(ok, "arc-agent", "not installed", "")
	}
	if d.facts.proxyAgent != "" {
		d.report.add(ok, "proxy-agent", d.facts.proxyAgent+" is installed; the Metadata Security Protocol can restrict who uses IMDS", "")
	} else {
		d.report.add(ok, "proxy-agent", "not installed", "")
	}
	if d.facts.azureVM {
		d.report.add(ok, "chassis-tag", "that of an Azure VM", "")
	} else {
		d.report.add(ok, "chassis-tag", "not that of an Azure VM, or hidden by a container", "")
	}
}

// agentStatus reports whether the Arc agent is connected to Azure.
func (d *doctor) agentStatus(ctx context.Context) {
	const check = "arc-agent-status"
	a, err := d.facts.agent(ctx)
	if err != nil {
		d.report.add(note, check, printable(err.Error()), "")
		return
	}
	d.agent = a
	detail := "azcmagent show: " + a.Status
	for _, part := range []struct{ name, value string }{
		{"version", a.Version}, {"resource", a.ResourceName}, {"last heartbeat", a.LastHeartbeat}, {"error", a.ErrorCode}, {"", a.ErrorDetails},
	} {
		if part.value != "" {
			detail += ", " + strings.TrimSpace(part.name+" "+part.value)
		}
	}
	if a.connected() {
		d.report.add(ok, check, printable(detail), "")
		return
	}
	d.report.add(bad, check, printable(detail), "")
}

// host reports which host this is.
func (d *doctor) host() {
	const check = "host"
	host, why := d.facts.env.Host()
	d.source = azhost.Source(host)
	pinned := d.request.options(nil).Source
	switch {
	case pinned != "":
		d.source = pinned
		d.report.add(ok, check, fmt.Sprintf("%s, selected by --source", printable(string(pinned))), "")
	case d.source != azhost.SourceIMDS:
		d.report.add(ok, check, fmt.Sprintf("%s: %s", d.source, printable(why)), "")
	case d.facts.containerGroup:
		d.report.add(ok, check, "IMDS: the variables are those of Azure Container Instances", "")
	case d.facts.azureVM:
		d.report.add(ok, check, "IMDS: the chassis tag is that of an Azure VM", "")
	default:
		d.report.add(ok, check, "IMDS, the default: "+why, "")
	}
	d.report.Host = printable(string(d.source))
}

// proxy reports whether Go programs, azhost excepted, send the host's requests to a proxy.
func (d *doctor) proxy() {
	const check = "proxy"
	u, err := url.Parse(d.address(d.source))
	if err != nil || u.Host == "" {
		return // the endpoint is invalid, which the token request reports
	}
	proxy, err := d.facts.proxy(&http.Request{URL: u})
	switch {
	case err != nil:
		d.report.add(note, check, fmt.Sprintf("other Go programs' requests for %s fail here: %s; azhost doesn't use the proxy variables", printable(u.Host), printable(err.Error())), "")
	case proxy == nil:
		d.report.add(ok, check, fmt.Sprintf("the proxy variables don't apply to %s", printable(u.Host)), "")
	default:
		d.report.add(note, check, fmt.Sprintf("the proxy variables send other Go programs' requests for %s to %s; azhost doesn't use them", printable(u.Host), printable(proxy.Scheme+"://"+proxy.Host)),
			fmt.Sprintf("For other programs, add %s to NO_PROXY.", printable(u.Hostname())))
	}
}

// keys reports whether this user can read the Arc agent's keys.
func (d *doctor) keys() {
	const check = "key-directory"
	dir := cmp.Or(d.request.arcKeyDirectory, d.facts.keyDirectory)
	err := d.facts.readable(dir)
	d.keysErr = err
	windows := d.facts.goos == "windows"
	group := keyfile.Group(d.facts.goos)
	refused, isRefused := errors.AsType[*refusedError](err)
	switch {
	case err == nil:
		d.report.add(ok, check, dir+" is readable", "")
	case windows && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
		// To an account outside the group, Windows may report a missing directory.
		d.report.add(bad, check, dir+" doesn't exist, or this account has no access to it",
			fmt.Sprintf("Run as an administrator, or add this account to the local group %q and sign in again (restart a service).", group))
	case errors.Is(err, fs.ErrNotExist):
		d.report.add(bad, check, dir+" doesn't exist",
			"Install and connect the Arc agent. In a container, mount the agent's key directory and pass --arc-key-directory.")
	case isRefused && refused.root():
		d.report.add(bad, check, printable(err.Error()),
			"This root user is one of a container or a user namespace. Run the container with the host's group "+group+" (--group-add), or without a user namespace.")
	case isRefused:
		d.report.add(bad, check, printable(err.Error()),
			fmt.Sprintf("Add the user to the group %s and log in again. If this is a service, restart it, or run as root.", group))
	default:
		d.report.add(bad, check, printable(err.Error()), "")
	}
}

// token requests a token, and reports what it says.
func (d *doctor) token(ctx context.Context, cred *azhost.ManagedIdentityCredential, opts policy.TokenRequestOptions) error {
	start := time.Now()
	token, err := cred.GetToken(ctx, opts)
	if err != nil {
		d.report.add(bad, "token", plain(err), "")
		return err
	}
	now := time.Now()
	d.report.add(ok, "token", fmt.Sprintf("for %s, after %s", printable(d.request.target()), took(start)), "")
	c, readable := readClaims(token.Token)
	if !readable {
		d.report.add(note, "claims", "the token isn't a JSON Web Token; only its audience can read it", "")
		return nil
	}
	d.claims(c, now)
	return nil
}

// claims reports what a token says.
func (d *doctor) claims(c claims, now time.Time) {
	identity := c.text("xms_mirid")
	userAssigned := strings.Contains(strings.ToLower(identity), "/userassignedidentities/")
	d.identity = "object ID " + c.text("oid")
	switch {
	case userAssigned:
		d.identity = "user-assigned identity, " + d.identity
	case identity != "":
		d.identity = "system-assigned identity, " + d.identity
	}
	for _, line := range []struct{ check, value string }{
		{"tenant", c.text("tid")}, {"object-id", c.text("oid")}, {"client-id", c.text("appid", "azp")},
		{"identity", identity}, {"audience", c.text("aud")}, {"issuer", c.text("iss")},
	} {
		if line.value == "" {
			line.value = "not in the token"
		}
		d.report.add(ok, line.check, line.value, "")
	}
	issued, okIssued := c.time("iat")
	expires, okExpires := c.time("exp")
	if okIssued && okExpires {
		d.report.add(ok, "lifetime", fmt.Sprintf("%s to %s (%s)", stamp(issued), stamp(expires), expires.Sub(issued)), "")
	}
	if okIssued && issued.Sub(now) > 5*time.Minute {
		d.report.add(note, "clock", fmt.Sprintf("by this machine's clock, the token will be issued %s from now", issued.Sub(now).Round(time.Second)),
			"Set this machine's clock.")
	}
	if d.request.options(nil).ID == nil && userAssigned {
		d.report.add(note, "identity-selection", "the identity is user-assigned although none was selected, because the machine has no other",
			"Select it with --client-id (in Go, ID). Otherwise, requests fail or use another identity when one is added to the machine.")
	}
}

// plain is an error for a finding.
func plain(err error) string { return printable(strings.TrimPrefix(err.Error(), "azhost: ")) }
