// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/internal/keyfile"
)

// doctorTimeout bounds the whole examination: a probe of at most 5 s and a token request.
const doctorTimeout = 10 * time.Second

func runDoctor(ctx context.Context, args []string, p process) error {
	var r request
	flags := flag.NewFlagSet("doctor", flag.ContinueOnError)
	r.flags(flags, "https://management.azure.com/", doctorTimeout)
	asJSON := flags.Bool("json", false, "")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, fmt.Errorf("--timeout %s", r.timeout))
	defer cancel()

	d := doctor{process: p, request: r, facts: p.facts()}
	verdict := d.examine(ctx)
	if _, wrong := errors.AsType[usageError](verdict); wrong {
		return verdict
	}
	write := d.found.write
	if *asJSON {
		write = func(w io.Writer) error { return writeJSON(w, d.found) }
	}
	if err := write(p.stdout); err != nil {
		return err
	}
	if verdict != nil {
		return reportedError{verdict}
	}
	return nil
}

// doctor is one examination.
type doctor struct {
	process
	request request
	facts   facts
	found   findings
}

// examine fills found, and returns why there is no token, if there is none.
func (d *doctor) examine(ctx context.Context) error {
	d.environment()
	d.disk()
	host := d.host()
	d.proxies()

	o := d.request.options(d.transport)
	if o.Source == "" {
		o.Source = host // ask the one that was reported
	}
	o.Retry.MaxRetries = -1 // a doctor says what happens now
	cred, err := credential(o)
	if err != nil {
		d.found.add(bad, "host", plain(err), "Unset the variables above if they are left over, pass on all of them if one is missing, or choose with --source.")
		return err
	}
	if host == azhost.SourceAzureArc {
		d.keys()
	}
	d.endpoint(ctx, host)
	return d.token(ctx, cred)
}

// environment reports the variables by which hosts are told apart.
func (d *doctor) environment() {
	env := d.facts.env
	for _, v := range []struct{ name, value, shown string }{
		{"IDENTITY_ENDPOINT", env.IdentityEndpoint, "set to " + place(env.IdentityEndpoint)},
		{"IDENTITY_HEADER", env.IdentityHeader, "set; its value is a secret"},
		{"IDENTITY_SERVER_THUMBPRINT", env.Thumbprint, "set"},
		{"IMDS_ENDPOINT", env.IMDSEndpoint, "set to " + place(env.IMDSEndpoint)},
		{"MSI_ENDPOINT", env.MSIEndpoint, "set to " + place(env.MSIEndpoint)},
		{"MSI_SECRET", env.MSISecret, "set; its value is a secret"},
	} {
		if v.value == "" {
			v.shown = "not set"
		}
		d.found.add(ok, v.name, v.shown, "")
	}
	for _, n := range env.Notes() {
		d.found.add(note, "environment", printable(n), "Unset what is left over, or set what is missing.")
	}
}

// disk reports the Arc agent's files and the firmware.
func (d *doctor) disk() {
	for _, path := range d.facts.himds {
		if path == d.facts.env.Himds {
			d.found.add(ok, "Arc agent", path+" is installed", "")
		} else {
			d.found.add(ok, "Arc agent", path+" is not there", "")
		}
	}
	if d.facts.azureVM {
		d.found.add(ok, "chassis tag", "that of an Azure VM", "")
	} else {
		d.found.add(ok, "chassis tag", "not that of an Azure VM, or hidden by a container", "")
	}
}

// host reports which host this is, and returns it.
func (d *doctor) host() azhost.Source {
	if pinned := d.request.options(nil).Source; pinned != "" {
		d.found.add(ok, "host", fmt.Sprintf("%s: --source says so", printable(string(pinned))), "")
		return pinned
	}
	host, reason := d.facts.env.Host()
	source := azhost.Source(host)
	switch {
	case source != azhost.SourceIMDS:
		d.found.add(ok, "host", fmt.Sprintf("%s: %s", source, printable(reason)), "")
	case d.facts.azureVM:
		d.found.add(ok, "host", fmt.Sprintf("%s: the chassis tag is that of an Azure VM", source), "")
	case d.request.endpoint != "":
		d.found.add(ok, "host", fmt.Sprintf("%s: --endpoint is given, and %s", source, reason), "")
	default:
		d.found.add(note, "host", fmt.Sprintf("%s, for want of anything else: %s", source, reason), "")
	}
	return source
}

// proxies reports the variables that lead clients to a proxy, this library excepted.
func (d *doctor) proxies() {
	values := d.facts.proxies
	noProxy := cmp.Or(values["NO_PROXY"], values["no_proxy"])
	exempt := exempts(noProxy)
	seen := false
	for _, name := range proxyVariables() {
		value, set := values[name]
		if !set {
			continue
		}
		seen = true
		if exempt || strings.EqualFold(name, "HTTPS_PROXY") { // which no http URL goes through
			d.found.add(note, name, "set to "+withoutUser(value)+"; azhost does not use it for a host's endpoint", "")
			continue
		}
		d.found.add(note, name, "set to "+withoutUser(value)+", where other clients may send requests for 169.254.169.254; azhost does not",
			"For other clients, add 169.254.169.254 to NO_PROXY.")
	}
	switch {
	case noProxy != "":
		d.found.add(ok, "NO_PROXY", "set to "+printable(noProxy), "")
	case seen:
		d.found.add(ok, "NO_PROXY", "not set", "")
	default:
		d.found.add(ok, "proxy", "no proxy variable is set", "")
	}
}

// keys reports whether this user can read the Arc agent's keys.
func (d *doctor) keys() {
	dir := cmp.Or(d.request.arcKeyDirectory, d.facts.keyDirectory)
	group := keyfile.Group(d.facts.goos)
	const check = "key directory"
	err := d.facts.list(dir)
	switch {
	case err == nil:
		d.found.add(ok, check, dir+" can be read", "")
	case errors.Is(err, fs.ErrNotExist) && d.facts.goos != "windows":
		d.found.add(bad, check, dir+" does not exist",
			"Install and connect the Arc agent (azcmagent show); in a container, mount the agent's key directory and give --arc-key-directory.")
	case d.facts.goos == "windows" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
		// To an account outside the group, Windows may report a missing directory.
		d.found.add(bad, check, dir+" does not exist, or this account may not read it",
			fmt.Sprintf("Run as an administrator, or add this account to the local group %q and sign in again (restart a service).", group))
	case errors.Is(err, fs.ErrPermission):
		d.found.add(bad, check, dir+": this user may not read it",
			fmt.Sprintf("Run as root, or: sudo usermod -aG %s <user>; then log in again (restart a service).", group))
	default:
		d.found.add(bad, check, printable(err.Error()), "")
	}
}

// token asks for a token, and reports what it says.
func (d *doctor) token(ctx context.Context, cred *azhost.ManagedIdentityCredential) error {
	start := time.Now()
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{d.request.resource}})
	if err != nil {
		todo := "TROUBLESHOOTING.md explains the message."
		if _, unavailable := errors.AsType[*azhost.CredentialUnavailableError](err); unavailable && cred.Source() == azhost.SourceIMDS && !d.facts.azureVM {
			todo = "On a laptop there is no managed identity: sign in another way (az login, and azidentity's AzureCLICredential after this one in a chain), or try \"azhost fake vm\". On Azure, TROUBLESHOOTING.md explains the message."
		}
		d.found.add(bad, "token", plain(err), todo)
		return err
	}
	now := time.Now()
	d.found.add(ok, "token", fmt.Sprintf("for %s, after %s", printable(d.request.target()), took(start)), "")
	c, readable := readClaims(token.Token)
	if !readable {
		d.found.add(note, "claims", "the token is not a JSON Web Token; only its audience can read it", "")
		return nil
	}
	d.claims(c, now)
	return nil
}

// claims reports what a token says.
func (d *doctor) claims(c claims, now time.Time) {
	identity := c.text("xms_mirid")
	for _, line := range []struct{ check, value string }{
		{"tenant", c.text("tid")}, {"object ID", c.text("oid")}, {"client ID", c.text("appid", "azp")},
		{"identity", identity}, {"audience", c.text("aud")}, {"issuer", c.text("iss")},
	} {
		if line.value == "" {
			line.value = "the token does not say"
		}
		d.found.add(ok, line.check, line.value, "")
	}
	issued, okIssued := c.time("iat")
	expires, okExpires := c.time("exp")
	if okIssued && okExpires {
		d.found.add(ok, "lifetime", fmt.Sprintf("%s to %s (%s)", stamp(issued), stamp(expires), expires.Sub(issued)), "")
	}
	if okIssued && issued.Sub(now) > 5*time.Minute {
		d.found.add(note, "clock", fmt.Sprintf("the token was issued %s from now, by this machine's clock", issued.Sub(now).Round(time.Second)),
			"Set this machine's clock.")
	}
	if d.request.options(nil).ID == nil && strings.Contains(strings.ToLower(identity), "/userassignedidentities/") {
		d.found.add(note, "identity", "user-assigned, although none was selected: the machine has no system-assigned one",
			"Select it (--client-id; in Go, ID), or this changes when another identity is added to the machine.")
	}
}

// plain is an error for a finding.
func plain(err error) string { return printable(strings.TrimPrefix(err.Error(), "azhost: ")) }

func took(start time.Time) time.Duration { return time.Since(start).Round(time.Millisecond) }
