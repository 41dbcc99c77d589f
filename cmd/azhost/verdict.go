// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"strings"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/internal/advice"
)

// hostName returns a host's name for use in a sentence.
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

// machine returns what has the identity, for use in a sentence.
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
	case d.facts.env.ContainerInstances():
		return "this container group"
	case d.facts.azureVM:
		return "this Azure VM"
	}
	return "this machine"
}

func sentence(format string, args ...any) string {
	s := fmt.Sprintf(format, args...)
	return strings.ToUpper(s[:1]) + s[1:]
}

// verdict returns a sentence that says what a reason means on this machine.
func (d *doctor) verdict(r reason) string {
	host, machine := hostName(d.source), d.machine()
	switch r {
	case reasonOK:
		identity := ""
		if d.identity != "" {
			identity = " (" + d.identity + ")"
		}
		return sentence("managed identity works: %s returned a token for %s%s.", host, printable(d.request.target()), identity)
	case reasonNotAzure:
		return "No managed identity: this machine isn't on Azure."
	case reasonForeignResponse:
		return "No managed identity: something other than Azure responds at IMDS's address."
	case reasonProxy:
		return "A proxy is between this program and IMDS."
	case reasonNoIdentity:
		return sentence("%s has no managed identity.", machine)
	case reasonSeveralIdentities:
		return sentence("%s has several identities, and none was selected.", machine)
	case reasonIdentityNotAssigned:
		return sentence("the selected identity isn't assigned to %s.", machine)
	case reasonIdentityDeleted:
		return "Microsoft Entra ID doesn't know this identity, or it's disabled."
	case reasonResourceNotFound:
		return sentence("%s has no token for %s; the resource may be wrong.", host, printable(d.request.target()))
	case reasonHostDown:
		switch d.source {
		case azhost.SourceAzureArc:
			return "The Azure Arc agent isn't responding."
		case azhost.SourceIMDS:
			return "IMDS isn't responding to " + machine + "."
		}
		return sentence("%s's token endpoint isn't responding.", host)
	case reasonHostFailing:
		return sentence("%s is temporarily failing.", host)
	case reasonThrottled:
		return sentence("%s is throttling requests.", host)
	case reasonAgentDisconnected:
		return "The Azure Arc agent isn't connected to Azure."
	case reasonKeyUnreadable:
		switch {
		case d.facts.goos == "windows":
			return "This account can't read the Azure Arc agent's keys."
		case d.facts.root:
			return "This container's root user can't read the Azure Arc agent's keys."
		}
		return "This user can't read the Azure Arc agent's keys."
	case reasonKeyMissing:
		return "The Azure Arc agent's key file doesn't exist."
	case reasonAccessDenied:
		if d.source == azhost.SourceIMDS && d.facts.proxyAgent != "" {
			return "This VM's Metadata Security Protocol agent denied the request."
		}
		return sentence("%s denied the request.", host)
	case reasonEnvironment:
		return "The environment variables of this host are invalid."
	case reasonTimeout:
		return sentence("%s didn't respond in time.", host)
	case reasonUnusableResponse:
		return sentence("%s's response can't be used.", host)
	}
	return sentence("%s rejected the token request.", host)
}

// remedy returns what to do about a reason: the library's advice, unless the doctor has better advice.
func (d *doctor) remedy(r reason, advised string) string {
	imds, arc := d.source == azhost.SourceIMDS, d.source == azhost.SourceAzureArc
	switch {
	case r == reasonNotAzure:
		return "Managed identities aren't available on a local machine. Run az login and add azidentity's AzureCLICredential to your credential chain, or start a fake host."
	case r == reasonForeignResponse:
		return "Another cloud, a captive portal, or a proxy uses this address. Use another credential here. On Azure, find what intercepts the address."
	case r == reasonHostDown && imds && advised != advice.PodBlocked+".":
		return "Check the firewalls, routes, and proxies between this program and 169.254.169.254. In a container, check its network."
	case r == reasonHostDown && arc && !d.installed():
		return "The agent isn't installed on this machine. Install it and connect the machine to Azure, or pass --endpoint and --arc-key-directory."
	case r == reasonAgentDisconnected:
		return "Check the agent's network access, and connect it again if it has expired."
	case r == reasonTimeout:
		return "Find what delays the response, such as a firewall or a proxy, or allow more time with --timeout."
	case advised != "":
		return advised
	}
	switch r {
	case reasonHostFailing:
		return "Try again later, and check Azure's status."
	case reasonThrottled:
		return "Find the program on this machine that requests tokens in a loop."
	case reasonKeyMissing:
		return "In a container, mount the agent's key directory and pass --arc-key-directory."
	case reasonAccessDenied:
		return "Check that the program has the environment variables that the host set, unchanged, and that no proxy or service mesh intercepts the request."
	case reasonEnvironment:
		return "Unset the variables if they are left over, set all of them if one is missing, or select the host with --source."
	case reasonUnusableResponse:
		return "Find what intercepts the request, such as a proxy."
	}
	return ""
}

// next returns the commands to run.
func (d *doctor) next(r reason) []string {
	const doctor = "azhost doctor"
	windows, arc := d.facts.goos == "windows", d.source == azhost.SourceAzureArc
	switch {
	case r == reasonNotAzure:
		return []string{"az login", "azhost fake appservice"}
	case r == reasonForeignResponse || r == reasonProxy:
		return []string{"curl -i --noproxy '*' " + d.address()}
	case r == reasonNoIdentity:
		return d.assign("")
	case r == reasonIdentityNotAssigned || r == reasonIdentityDeleted && d.request.identity() != "":
		return d.assign(" --identities RESOURCE_ID")
	case r == reasonIdentityDeleted:
		return d.assign("")
	case r == reasonSeveralIdentities:
		return []string{doctor + " --client-id ID"}
	case r == reasonResourceNotFound:
		return []string{"azhost help resources"}
	case r == reasonHostDown && arc && !d.installed():
		return []string{"azhost help token"}
	case r == reasonHostDown && arc && windows:
		return []string{"Start-Service himds", "azcmagent show", doctor}
	case r == reasonHostDown && arc:
		return []string{"sudo systemctl start himdsd", "azcmagent show", doctor}
	case r == reasonHostDown && d.source == azhost.SourceIMDS:
		return []string{`curl -H Metadata:true --noproxy "*" "http://169.254.169.254/metadata/instance?api-version=2021-02-01"`, doctor + " --watch"}
	case r == reasonHostDown || r == reasonHostFailing || r == reasonThrottled:
		return []string{doctor + " --watch"}
	case r == reasonAgentDisconnected:
		return []string{"azcmagent show", "azcmagent check"}
	case r == reasonKeyUnreadable && windows:
		return []string{`Add-LocalGroupMember -Group "Hybrid agent extension applications" -Member "$env:USERDOMAIN\$env:USERNAME"`, doctor}
	case r == reasonKeyUnreadable && !d.facts.root:
		return []string{`sudo usermod -aG himds "$USER"`, `sg himds -c "azhost doctor"`}
	case r == reasonKeyMissing:
		return []string{"azcmagent show"}
	case r == reasonAccessDenied && d.facts.proxyAgent != "" && windows:
		return []string{`Get-Content -Tail 10 C:\WindowsAzure\ProxyAgent\Logs\ProxyAgent.Connection.log`}
	case r == reasonAccessDenied && d.facts.proxyAgent != "":
		return []string{"sudo tail /var/log/azure-proxy-agent/ProxyAgent.Connection.log"}
	case r == reasonEnvironment || r == reasonRequestFailed:
		return []string{doctor + " -v"}
	case r == reasonTimeout:
		return []string{doctor + " --timeout 1m"}
	}
	return []string{} // not null in JSON
}

// installed reports whether the Arc agent is installed, or its variables or --endpoint point to one.
func (d *doctor) installed() bool {
	return d.facts.env.Himds != "" || d.facts.env.ArcVariables() || d.request.endpoint != ""
}

// assign returns the command that assigns an identity to the machine.
func (d *doctor) assign(identities string) []string {
	switch {
	case d.source == azhost.SourceAppService:
		return []string{"az webapp identity assign --resource-group GROUP --name APP" + identities}
	case d.source == azhost.SourceIMDS && d.facts.env.ContainerInstances():
		return []string{"az container show --resource-group GROUP --name NAME --query identity"}
	case d.source == azhost.SourceIMDS:
		return []string{"az vm identity assign --resource-group GROUP --name VM" + identities}
	case d.source == azhost.SourceAzureArc:
		return []string{"azcmagent show"}
	}
	return []string{}
}
