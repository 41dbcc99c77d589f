// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"strings"

	"github.com/azhost/azhost"
)

// reason is a stable word for the outcome of an examination. Each but reasonOK is an anchor of
// TROUBLESHOOTING.md.
type reason string

const (
	reasonOK                  reason = "ok"
	reasonNotAzure            reason = "not-azure"
	reasonForeignResponse     reason = "foreign-response"
	reasonNoIdentity          reason = "no-identity"
	reasonIdentityNotAssigned reason = "identity-not-assigned"
	reasonIdentityDeleted     reason = "identity-deleted"
	reasonResourceNotFound    reason = "resource-not-found"
	reasonHostDown            reason = "host-down"
	reasonHostFailing         reason = "host-failing"
	reasonThrottled           reason = "throttled"
	reasonAgentDisconnected   reason = "agent-disconnected"
	reasonKeyUnreadable       reason = "key-unreadable"
	reasonKeyMissing          reason = "key-missing"
	reasonAccessDenied        reason = "access-denied"
	reasonEnvironment         reason = "environment"
	reasonTimeout             reason = "timeout"
	reasonRequestFailed       reason = "request-failed"
)

func reasons() []reason {
	return []reason{
		reasonOK, reasonNotAzure, reasonForeignResponse, reasonNoIdentity, reasonIdentityNotAssigned, reasonIdentityDeleted,
		reasonResourceNotFound, reasonHostDown, reasonHostFailing, reasonThrottled, reasonAgentDisconnected, reasonKeyUnreadable,
		reasonKeyMissing, reasonAccessDenied, reasonEnvironment, reasonTimeout, reasonRequestFailed,
	}
}

const troubleshooting = "https://github.com/azhost/azhost/blob/main/TROUBLESHOOTING.md#"

func (r reason) exitCode() int {
	switch r {
	case reasonOK:
		return exitOK
	case reasonNotAzure, reasonForeignResponse, reasonNoIdentity:
		return exitUnavailable
	case reasonHostDown:
		return exitDown
	}
	return exitFailed
}

// unreachable reports whether a request failed because no connection was made.
func unreachable(err error) bool {
	dial, ok := errors.AsType[*net.OpError](err)
	return ok && dial.Op == "dial"
}

// noIdentity reports whether a host rejected the request because the machine has no identity, where
// the library's error does not say so by its type.
func noIdentity(err error, source azhost.Source, r request) bool {
	failed, ok := errors.AsType[*azhost.AuthenticationFailedError](err)
	if !ok || failed.RawResponse == nil || r.options(nil).ID != nil || entraCode.MatchString(err.Error()) {
		return false
	}
	status := failed.RawResponse.StatusCode
	return source == azhost.SourceAppService && status == http.StatusBadRequest || source == azhost.SourceAzureArc && status == http.StatusNotFound
}

var entraCode = regexp.MustCompile(`AADSTS(\d+)`)

// diagnose returns the reason for a failed examination.
func (d *doctor) diagnose(err error) reason {
	_, unavailable := errors.AsType[*azhost.CredentialUnavailableError](err)
	failed, isFailed := errors.AsType[*azhost.AuthenticationFailedError](err)
	var resp *http.Response
	if isFailed {
		resp = failed.RawResponse
	}
	known := d.facts.known(d.request, d.source)
	arc := d.source == azhost.SourceAzureArc
	switch {
	case !unavailable && !isFailed:
		return reasonEnvironment // the credential's constructor reports nothing else
	case arc && d.responded && (errors.Is(err, fs.ErrPermission) || errors.Is(d.keysErr, fs.ErrPermission)):
		return reasonKeyUnreadable
	case arc && d.responded && (errors.Is(err, fs.ErrNotExist) || errors.Is(d.keysErr, fs.ErrNotExist)):
		return reasonKeyMissing
	case d.source == azhost.SourceIMDS && d.facts.proxyAgent != "" && (d.status == http.StatusForbidden || d.status == http.StatusMisdirectedRequest):
		return reasonAccessDenied
	case noIdentity(err, d.source, d.request):
		return reasonNoIdentity
	case resp != nil:
		return d.rejected(err, resp)
	case d.agent.Status != "" && !d.agent.connected() && d.responded:
		return reasonAgentDisconnected
	case !d.responded && known && (unavailable || unreachable(err) || errors.Is(err, context.DeadlineExceeded)):
		return reasonHostDown
	case unavailable && !d.responded:
		return reasonNotAzure
	case unavailable && d.source == azhost.SourceIMDS && !d.isIMDS() && !d.facts.azureVM:
		return reasonForeignResponse
	case unavailable:
		return reasonNoIdentity
	case errors.Is(err, context.DeadlineExceeded):
		return reasonTimeout
	}
	return reasonRequestFailed
}

// rejected returns the reason for a response that is an error.
func (d *doctor) rejected(err error, resp *http.Response) reason {
	code := ""
	if m := entraCode.FindStringSubmatch(err.Error()); m != nil {
		code = m[1]
	}
	selected := d.request.options(nil).ID != nil
	switch {
	case code == "700016" || code == "7000112":
		return reasonIdentityDeleted
	case code == "500011" || code == "50001":
		return reasonResourceNotFound
	case code == "90033":
		return reasonHostFailing
	case d.agent.Status != "" && !d.agent.connected():
		return reasonAgentDisconnected
	case code != "":
		return reasonRequestFailed
	case resp.StatusCode == http.StatusTooManyRequests:
		return reasonThrottled
	case resp.StatusCode == http.StatusGone || resp.StatusCode >= 500:
		return reasonHostFailing
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusProxyAuthRequired:
		return reasonAccessDenied
	case selected && (resp.StatusCode == http.StatusBadRequest || resp.StatusCode == http.StatusNotFound):
		return reasonIdentityNotAssigned
	}
	return reasonRequestFailed
}

// hostName is a host in a sentence.
func hostName(s azhost.Source) string {
	switch s {
	case azhost.SourceAzureArc:
		return "the Azure Arc agent"
	case azhost.SourceAppService:
		return "App Service"
	case azhost.SourceServiceFabric:
		return "Service Fabric"
	case azhost.SourceCloudShell:
		return "Cloud Shell"
	case azhost.SourceAzureML:
		return "Azure Machine Learning"
	}
	return "IMDS"
}

// machine is what has the identity, in a sentence.
func (d *doctor) machine() string {
	switch d.source {
	case azhost.SourceAzureArc:
		return "this Azure Arc-enabled server"
	case azhost.SourceAppService:
		return "this app"
	case azhost.SourceServiceFabric:
		return "this Service Fabric application"
	case azhost.SourceAzureML:
		return "this compute"
	}
	switch {
	case d.facts.containerGroup:
		return "this container group"
	case d.facts.azureVM:
		return "this Azure VM"
	}
	return "this machine"
}

// installed reports whether the Arc agent is, or its variables say so.
func (d *doctor) installed() bool {
	return d.facts.env.Himds != "" || d.facts.env.ArcVariables() || d.request.endpoint != ""
}

func sentence(format string, args ...any) string {
	s := fmt.Sprintf(format, args...)
	return strings.ToUpper(s[:1]) + s[1:]
}

// conclude completes the report of an examination that ended with err: the verdict, the remedy, and
// the commands to run next.
func (d *doctor) conclude(err error) {
	r := &d.report
	if err == nil {
		r.OK, r.Reason, r.Next = true, reasonOK, []string{}
		r.Verdict = sentence("managed identity works: %s returned a token for %s", hostName(d.source), printable(d.request.target()))
		if d.identity != "" {
			r.Verdict += " (" + d.identity + ")"
		}
		r.Verdict += "."
		return
	}
	r.Reason = d.diagnose(err)
	r.ExitCode, r.URL = r.Reason.exitCode(), troubleshooting+string(r.Reason)
	verdict, remedy, next := d.advice(r.Reason)
	r.Verdict, r.Next = verdict, next
	if next == nil {
		r.Next = []string{}
	}
	failed := &r.Findings[len(r.Findings)-1] // the token or, if it was not requested, the reason why
	if failed.Remedy == "" {
		failed.Remedy = remedy
	}
}

// advice returns what to say about a reason.
func (d *doctor) advice(r reason) (verdict, remedy string, next []string) {
	host, machine := hostName(d.source), d.machine()
	windows := d.facts.goos == "windows"
	arc := d.source == azhost.SourceAzureArc
	doctor := "azhost doctor"
	switch r {
	case reasonNotAzure:
		return "No managed identity: this machine isn't on Azure.",
			"Managed identities aren't available on a local machine. Run az login and add azidentity's AzureCLICredential to your credential chain, or start a fake host.",
			[]string{"az login", "azhost fake appservice"}
	case reasonForeignResponse:
		return "No managed identity: something other than Azure responds at IMDS's address.",
			"Another cloud, a captive portal, or a proxy uses this address. Use another credential here. On Azure, find what intercepts the address.",
			[]string{"curl -i --noproxy '*' " + imdsEndpoint}
	case reasonNoIdentity:
		return sentence("%s has no managed identity.", machine), "Enable the system-assigned identity.", d.assign(false)
	case reasonIdentityNotAssigned:
		return sentence("the selected identity isn't assigned to %s.", machine),
			"Assign the identity, or select another one. A new assignment can take a few minutes.", d.assign(true)
	case reasonIdentityDeleted:
		return "Microsoft Entra ID doesn't know this identity, or it's disabled.",
			"The identity was deleted, disabled, or moved to another tenant. Assign it again, then restart the machine.", d.assign(d.request.options(nil).ID != nil)
	case reasonResourceNotFound:
		return sentence("Microsoft Entra ID doesn't recognize the resource %s.", printable(d.request.target())),
			"Compare it with the service's documentation. The cloud's domain and trailing slashes matter.", []string{"azhost help resources"}
	case reasonHostDown:
		switch {
		case arc && !d.installed():
			next = []string{"azhost help token"}
		case arc && windows:
			next = []string{"Start-Service himds", "azcmagent show", doctor}
		case arc:
			next = []string{"sudo systemctl start himdsd", "azcmagent show", doctor}
		default:
			next = []string{doctor + " --watch"}
		}
		remedy = "Check that firewalls, routes, and network namespaces let this program connect."
		switch d.source {
		case azhost.SourceAzureArc:
			remedy = "Start the agent."
			if !d.installed() {
				remedy = "The agent isn't installed on this machine. Install it and connect the machine to Azure, or pass --endpoint and --arc-key-directory."
			}
		case azhost.SourceIMDS:
		default:
			remedy = "Check that this program runs where the platform started it. After a start, the endpoint can take a few seconds."
		}
		switch d.source {
		case azhost.SourceAzureArc:
			verdict = "The Azure Arc agent isn't responding."
		case azhost.SourceIMDS:
			verdict = "IMDS isn't responding on " + machine + "."
			if d.facts.containerGroup {
				verdict = "IMDS isn't responding in " + machine + "."
			}
		default:
			verdict = sentence("%s's token endpoint isn't responding.", host)
		}
		return verdict, remedy, next
	case reasonHostFailing:
		remedy = "Try again later, and check Azure's status."
		if d.source == azhost.SourceAppService || d.source == azhost.SourceServiceFabric {
			remedy = "It returns this for an unknown resource too. Check the resource, including trailing slashes; otherwise, try again later."
		}
		return sentence("%s is temporarily failing.", host), remedy, []string{doctor + " --watch"}
	case reasonThrottled:
		return sentence("%s is throttling requests.", host),
			"The programs on this machine request tokens too often. Create one credential per process and keep it.", []string{doctor + " --watch"}
	case reasonAgentDisconnected:
		return "The Azure Arc agent isn't connected to Azure.",
			"Check the agent's network access, and connect it again if it has expired.", []string{"azcmagent show", "azcmagent check"}
	case reasonKeyUnreadable:
		if windows {
			return "This account can't read the Azure Arc agent's keys.", "",
				[]string{`Add-LocalGroupMember -Group "Hybrid agent extension applications" -Member "$env:USERDOMAIN\$env:USERNAME"`, doctor}
		}
		if refused, ok := errors.AsType[*refusedError](d.keysErr); ok && refused.root() {
			return "This container's root user can't read the Azure Arc agent's keys.", "", nil
		}
		return "This user can't read the Azure Arc agent's keys.", "", []string{`sudo usermod -aG himds "$USER"`, `sg himds -c "azhost doctor"`}
	case reasonKeyMissing:
		return "The Azure Arc agent's key file doesn't exist.",
			"In a container, mount the agent's key directory and pass --arc-key-directory.", []string{"azcmagent show"}
	case reasonAccessDenied:
		if d.source == azhost.SourceIMDS && d.facts.proxyAgent != "" {
			next = []string{"sudo tail /var/log/azure-proxy-agent/ProxyAgent.Connection.log"}
			if windows {
				next = []string{`Get-Content -Tail 10 C:\WindowsAzure\ProxyAgent\Logs\ProxyAgent.Connection.log`}
			}
			return "This VM's Metadata Security Protocol agent denied the request.",
				"Add this program's user, group, or path to the VM's access control profile for IMDS.", next
		}
		return sentence("%s denied the request.", host),
			"Check that the program has the platform's own environment variables, unchanged, and that no proxy or service mesh intercepts the request.", nil
	case reasonEnvironment:
		return "The environment variables of this host are invalid.",
			"Unset the variables if they are left over, set all of them if one is missing, or select the host with --source.", []string{doctor + " -v"}
	case reasonTimeout:
		return sentence("%s didn't respond within %s.", host, d.request.timeout),
			"Allow more time, or find out what delays the response.", []string{doctor + " --timeout 1m"}
	}
	return sentence("%s rejected the token request.", host), "", []string{doctor + " -v"}
}

// assign returns the command that assigns an identity to the machine.
func (d *doctor) assign(userAssigned bool) []string {
	identities := ""
	if userAssigned {
		identities = " --identities RESOURCE_ID"
	}
	switch {
	case d.source == azhost.SourceAppService:
		return []string{"az webapp identity assign --resource-group GROUP --name APP" + identities}
	case d.source == azhost.SourceIMDS && d.facts.containerGroup:
		return []string{"az container show --resource-group GROUP --name NAME --query identity"}
	case d.source == azhost.SourceIMDS:
		return []string{"az vm identity assign --resource-group GROUP --name VM" + identities}
	case d.source == azhost.SourceAzureArc:
		return []string{"azcmagent show"}
	}
	return nil
}
