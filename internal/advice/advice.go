// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package advice has the advice for failed token requests. The library, the azhost command, and
// TROUBLESHOOTING.md use it.
package advice

import (
	"regexp"
	"strings"

	"github.com/azhost/azhost/internal/detect"
)

// Problem says what went wrong if the host's response alone doesn't.
type Problem int

const (
	Refusal       Problem = iota // the host's response says what is wrong
	Silent                       // connecting took too long
	NotListening                 // connecting failed
	Broken                       // the connection broke before there was a response
	NoResponse                   // something accepted the request and did not respond
	Local                        // this process could not send the request: a policy's error, or no files or ports left
	Foreign                      // something other than the host responded
	OtherIdentity                // the token is for another identity
	NoEcho                       // the response does not name the identity
	KeyRefused                   // the Arc agent rejected its own key
)

// Failure is what is known about a failed request.
type Failure struct {
	Host     detect.Host
	Problem  Problem
	Identity string // how a user-assigned identity was selected, such as `client ID "…"`; "" if none was

	Status         int    // of the response; 0 if there is none
	Code, Text     string // the host's error, or the text of another body
	Own            bool   // the response has the form of a host's error
	Empty          bool   // the response has no body
	NewestVersions bool   // IMDS lists the API versions that it supports

	OnAzure   bool // this machine is known to be on Azure
	Responded bool // the host has responded at this address before
	Pod       bool // the program runs in a Kubernetes pod
}

// The advice for each failure. It begins with a verb if there is something to do.
const (
	AssignOne     = "Enable the system-assigned identity, or assign a user-assigned identity and set ID"
	ChooseOne     = "Set ID to one of this machine's user-assigned identities"
	AllowList     = "Add this program to the allow list (InVMAccessControlProfile) of the Metadata Security Protocol's agent, which denied the request; ProxyAgent.Connection.log has the denial"
	AgentOffline  = "If the Metadata Security Protocol's agent runs on this machine, check ProxyAgent.log; the agent sends this response when it cannot reach IMDS"
	WebProxy      = "Make sure that requests to IMDS don't go through a web proxy"
	APIVersion    = "This IMDS doesn't support the API version that azhost uses"
	NoForwarding  = "Send requests to IMDS directly; a proxy forwarded this one, and IMDS rejects forwarded requests"
	NotAzure      = "This machine isn't an Azure VM, or a firewall, route, or proxy is blocking the Instance Metadata Service"
	Blocked       = "This machine is on Azure, so a firewall, route, or proxy is blocking the Instance Metadata Service"
	PodBlocked    = "Use workload identity: the cluster may restrict its pods' access to the Instance Metadata Service"
	Impostor      = "This is not a response from IMDS: another service is using its address"
	Overloaded    = "IMDS may be overloaded, or a firewall, proxy, or another service may be holding the connection"
	RespondedOnce = "IMDS responded at this address earlier"
	AgentStopped  = "Start the Arc agent: the himds service on Windows, himdsd.service on Linux. Then run azcmagent show"
	AgentStatus   = "Run azcmagent show to see the agent's status"
	AgentOutdated = "Update the Arc agent, which is too old to select a user-assigned identity, or leave ID nil for the system-assigned identity"
	KeyRejected   = "Run azcmagent show to see the agent's status; the agent rejected its own key"
	PlatformMoved = "Check that the app is running on the platform that set its environment variables; this address comes from them or from Endpoint"
	WrongHeader   = "Check that IDENTITY_HEADER is the value that the platform set for this process"
	WrongSecret   = "Check that MSI_SECRET is the value that the platform set for this process"
	AppResource   = "Check the scope, including trailing slashes; App Service returns this when Microsoft Entra ID doesn't recognize the resource"
	BindIdentity  = "Check that the application's manifest binds an identity to this service"
	FabricScope   = "Check the scope, including trailing slashes; Service Fabric often returns this for a wrong resource"
	ShellScope    = "Check the scope, including trailing slashes; Cloud Shell supports only some resources"
	MLIdentity    = "Check that the identity is assigned to this compute and that the resource exists in this tenant"
	AppNotFound   = "Assign the identity again, or assign one from this tenant; it was deleted or belongs to another tenant"
	AppDisabled   = "Enable the identity's enterprise application in Microsoft Entra ID"
	NoResource    = "Check the scope, including trailing slashes, and that the service exists in this tenant; Microsoft Entra ID doesn't recognize the resource"
	EntraBusy     = "Microsoft Entra ID is temporarily unavailable; try again"
	NoFederation  = "Add a federated identity credential whose issuer and subject match the token"
)

// byCode has advice for the error codes of Microsoft Entra ID that have one cause.
var byCode = map[string]string{
	"700016":  AppNotFound,
	"7000112": AppDisabled,
	"500011":  NoResource,
	"50001":   NoResource,
	"90033":   EntraBusy,
	"70021":   NoFederation,
}

var aadsts = regexp.MustCompile(`AADSTS(\d+)`)

// For returns advice for f, without a period at the end, or "" if there is none.
func For(f Failure) string {
	if code := aadsts.FindStringSubmatch(f.Code + " " + f.Text); code != nil {
		return byCode[code[1]]
	}
	switch f.Problem {
	case Local:
		return ""
	case OtherIdentity:
		return assigned(f)
	case NoEcho:
		return AgentOutdated
	case KeyRefused:
		return KeyRejected
	}
	switch f.Host {
	case detect.IMDS:
		return imds(f)
	case detect.AzureArc:
		return arc(f)
	}
	if f.Problem == Silent || f.Problem == NotListening {
		return PlatformMoved
	}
	switch f.Host {
	case detect.AppService:
		return appService(f)
	case detect.ServiceFabric:
		switch f.Code {
		case "ManagedIdentityNotFound":
			return BindIdentity
		case "SecretHeaderNotFound":
			return WrongHeader
		case "InternalServerError":
			return FabricScope
		}
	case detect.CloudShell:
		if f.Code == "AudienceNotSupported" {
			return ShellScope
		}
	case detect.AzureML:
		return azureML(f)
	}
	return ""
}

func imds(f Failure) string {
	text := strings.ToLower(f.Text)
	switch {
	case f.Problem == Foreign:
		return Impostor + ". " + NotAzure
	case f.Problem != Refusal && f.Responded:
		return RespondedOnce
	case f.Problem == NoResponse:
		return Overloaded
	case f.Problem != Refusal && f.Pod:
		return PodBlocked
	case f.Problem != Refusal && f.OnAzure:
		return Blocked
	case f.Problem != Refusal:
		return NotAzure
	case (f.Status == 403 || f.Status == 421) && f.Empty:
		return AllowList
	case (f.Status == 502 || f.Status == 503) && f.Empty:
		return AgentOffline
	case f.Status == 502 || f.Status == 504:
		return WebProxy
	case f.Status == 400 && f.NewestVersions:
		return APIVersion
	case f.Status != 400:
		return ""
	case strings.Contains(text, "x-forwarded-for"):
		return NoForwarding
	case f.Code == "invalid_resource":
		return NoResource
	case Several(f.Text):
		return ChooseOne
	case !strings.Contains(text, "identity not found") && f.Text != "":
		return ""
	}
	return assigned(f)
}

// Several reports whether IMDS's text asks the client to select one of several identities.
func Several(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "multiple") && strings.Contains(text, "identit")
}

func arc(f Failure) string {
	switch {
	case f.Problem == NotListening || f.Problem == Silent:
		return AgentStopped
	case f.Problem != Refusal:
		return ""
	case f.Identity != "" && (f.Status == 404 || f.Code == "identity_not_found"):
		return assigned(f)
	}
	return AgentStatus
}

func appService(f Failure) string {
	switch {
	case !f.Own && !f.Empty: // such as a proxy's page
		return ""
	case f.Status == 500:
		return AppResource
	case f.Status == 401 || f.Status == 403:
		return WrongHeader
	case f.lacksIdentity():
		return assigned(f)
	}
	return ""
}

func azureML(f Failure) string {
	switch {
	case !f.Own && !f.Empty:
		return ""
	case f.Status == 401 || f.Status == 403:
		return WrongSecret
	case f.lacksIdentity():
		return MLIdentity
	}
	return ""
}

// lacksIdentity reports whether a platform rejects a request because of the identity. Its texts about another
// parameter, such as the API version, don't mention one.
func (f Failure) lacksIdentity() bool {
	return (f.Status == 400 || f.Status == 404) && (f.Empty || strings.Contains(strings.ToLower(f.Text), "identity"))
}

// assigned returns how to give the machine the identity.
func assigned(f Failure) string {
	if f.Identity == "" {
		return AssignOne
	}
	where := map[detect.Host]string{detect.AzureArc: "server", detect.AppService: "app"}[f.Host]
	if where == "" {
		where = "machine"
	}
	advice := "Check that the user-assigned identity with " + f.Identity + " is assigned to this " + where
	if f.Host == detect.AzureArc {
		advice += ", or leave ID nil for the system-assigned identity"
	}
	return advice
}
