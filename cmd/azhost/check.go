// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/internal/keyfile"
)

// environment reports the variables by which azhost detects the host.
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
	for _, n := range env.Notes() {
		name, _, _ := strings.Cut(n, " ")
		if f := d.report.find(name); f != nil && f.Status == ok {
			f.Status, f.Detail, f.Remedy = note, printable(strings.Replace(n, name+" is ", "is ", 1)), "Unset the variables that are left over, or set those that are missing."
			continue
		}
		d.report.add(note, "environment", printable(n), "") // the note says what to do
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
	ctx, cancel := context.WithTimeout(ctx, d.request.timeout/4)
	defer cancel()
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
	switch {
	case d.request.source != "":
		d.source = azhost.Source(d.request.source)
		d.report.add(ok, check, fmt.Sprintf("%s, selected by --source", d.source), "")
	case d.source != azhost.SourceIMDS:
		d.report.add(ok, check, fmt.Sprintf("%s: %s", d.source, printable(why)), "")
	case d.facts.env.ContainerInstances():
		d.report.add(ok, check, "IMDS: "+why, "")
	case d.facts.azureVM:
		d.report.add(ok, check, "IMDS: the chassis tag is that of an Azure VM", "")
	default:
		d.report.add(ok, check, "IMDS, the default: "+why, "")
	}
	d.report.Host = string(d.source)
}

// proxy reports whether Go programs other than azhost send the host's requests to a proxy.
func (d *doctor) proxy() {
	const check = "proxy"
	u, err := url.Parse(d.address())
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
	denied := errors.Is(err, fs.ErrPermission)
	switch {
	case err == nil:
		d.report.add(ok, check, dir+" is readable", "")
	case windows && (denied || errors.Is(err, fs.ErrNotExist)):
		// Windows may report the directory as missing to an account outside the group.
		d.report.add(bad, check, dir+" doesn't exist, or this account has no access to it",
			fmt.Sprintf("Run as an administrator, or add this account to the local group %q, then sign in again or restart the service.", group))
	case errors.Is(err, fs.ErrNotExist):
		d.report.add(bad, check, dir+" doesn't exist",
			"Install and connect the Arc agent. In a container, mount the agent's key directory and pass --arc-key-directory.")
	case denied && d.facts.root:
		d.report.add(bad, check, printable(err.Error()),
			"This is the root user of a container or a user namespace. Run the container with the host's group "+group+" (--group-add), or without a user namespace.")
	case denied:
		d.report.add(bad, check, printable(err.Error()),
			fmt.Sprintf("Add the user to the group %s, then log in again or restart the service. Or run as root.", group))
	default:
		d.report.add(bad, check, printable(err.Error()), "")
	}
}

// claims reports a token's claims.
func (d *doctor) claims(token string, now time.Time) {
	c, readable := readClaims(token)
	if !readable {
		d.report.add(note, "claims", "the token isn't a JSON Web Token; only its audience can read it", "")
		return
	}
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
		d.report.add(note, "clock", fmt.Sprintf("the token's issue time is %s ahead of this machine's clock", issued.Sub(now).Round(time.Second)),
			"Set this machine's clock.")
	}
	if d.request.identity() == "" && userAssigned {
		d.report.add(note, "identity-selection", "the identity is user-assigned although none was selected, because the machine has no other",
			"Select it with --client-id (in Go, ID). Otherwise, requests fail or use another identity when one is added to the machine.")
	}
}
