// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package detect determines from environment variables and files which Azure host a program runs
// on. It doesn't use the network.
package detect

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// The endpoints of the hosts with a fixed address.
const (
	IMDSTokenEndpoint = "http://169.254.169.254/metadata/identity/oauth2/token"
	// The literal address avoids trying ::1 first.
	ArcTokenEndpoint = "http://127.0.0.1:40342/metadata/identity/oauth2/token"
)

// Host names a kind of host, as azhost.Source does.
type Host string

// The hosts, in the order in which detection looks for them.
const (
	ServiceFabric Host = "ServiceFabric"
	AppService    Host = "AppService"
	AzureML       Host = "AzureML"
	CloudShell    Host = "CloudShell"
	AzureArc      Host = "AzureArc"
	IMDS          Host = "IMDS"
)

// Environment has the variables that tell the hosts apart, without white space at their ends, and whether an
// Arc agent is installed. The zero value is a machine that has none of these.
type Environment struct {
	IdentityEndpoint string // IDENTITY_ENDPOINT
	IdentityHeader   string // IDENTITY_HEADER, a secret
	Thumbprint       string // IDENTITY_SERVER_THUMBPRINT
	APIVersion       string // IDENTITY_API_VERSION
	IMDSEndpoint     string // IMDS_ENDPOINT
	MSIEndpoint      string // MSI_ENDPOINT
	MSISecret        string // MSI_SECRET, a secret
	ProgramData      string // %ProgramData%, where the agent keeps its keys on Windows
	Himds            string // path of the Arc agent's service binary, "" if it isn't on disk
}

// Read returns the environment of this process.
func Read() Environment {
	return Environment{
		IdentityEndpoint: Getenv("IDENTITY_ENDPOINT"),
		IdentityHeader:   Getenv("IDENTITY_HEADER"),
		Thumbprint:       Getenv("IDENTITY_SERVER_THUMBPRINT"),
		APIVersion:       Getenv("IDENTITY_API_VERSION"),
		IMDSEndpoint:     Getenv("IMDS_ENDPOINT"),
		MSIEndpoint:      Getenv("MSI_ENDPOINT"),
		MSISecret:        Getenv("MSI_SECRET"),
		ProgramData:      Getenv("ProgramData"),
		Himds:            installed(HimdsPaths(runtime.GOOS, Getenv)),
	}
}

// Getenv returns an environment variable without white space at its ends, which files that set variables
// often leave there. A blank variable counts as unset.
func Getenv(name string) string { return strings.TrimSpace(os.Getenv(name)) }

// installed returns the first of paths that is a regular file, or "".
func installed(paths []string) string {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// HimdsPaths returns where the Arc agent's installer puts the service binary on a system. A
// 32-bit Windows process sees the x86 folder as %ProgramFiles%, so %ProgramW6432% comes first.
func HimdsPaths(goos string, getenv func(string) string) []string {
	switch goos {
	case "linux":
		return []string{"/opt/azcmagent/bin/himds"}
	case "windows":
		var paths []string
		for _, name := range []string{"ProgramW6432", "ProgramFiles"} {
			if dir := getenv(name); dir != "" {
				paths = append(paths, filepath.Join(dir, "AzureConnectedMachineAgent", "himds.exe"))
			}
		}
		return paths
	}
	return nil // the agent exists for Linux and Windows only
}

// ProxyAgent returns the path of the agent of the Metadata Security Protocol, which intercepts
// requests to IMDS on an Azure VM and may refuse them. It is "" if the agent isn't on disk.
func ProxyAgent() string { return installed(proxyAgentPaths(runtime.GOOS, Getenv)) }

func proxyAgentPaths(goos string, getenv func(string) string) []string {
	switch drive := getenv("SystemDrive"); {
	case goos == "linux":
		return []string{"/usr/sbin/azure-proxy-agent"}
	case goos == "windows" && drive != "":
		// Without the separator, the path would be relative to the drive's current directory.
		return []string{drive + filepath.Join(`\`, "WindowsAzure", "ProxyAgent", "GuestProxyAgent", "GuestProxyAgent.exe")}
	}
	return nil
}

// Host returns the host and the reason for choosing it. The order is that of Microsoft's
// authentication libraries.
func (e Environment) Host() (host Host, reason string) {
	switch {
	case e.IdentityEndpoint != "" && e.IdentityHeader != "" && e.Thumbprint != "":
		return ServiceFabric, "IDENTITY_ENDPOINT, IDENTITY_HEADER and IDENTITY_SERVER_THUMBPRINT are set"
	case e.IdentityEndpoint != "" && e.IdentityHeader != "":
		return AppService, "IDENTITY_ENDPOINT and IDENTITY_HEADER are set"
	case e.MSIEndpoint != "" && e.MSISecret != "":
		return AzureML, "MSI_ENDPOINT and MSI_SECRET are set"
	case e.MSIEndpoint != "":
		return CloudShell, "MSI_ENDPOINT is set and MSI_SECRET is not"
	case e.ArcVariables():
		return AzureArc, "IDENTITY_ENDPOINT and IMDS_ENDPOINT are set"
	case e.Himds != "":
		return AzureArc, "the Arc agent is installed: " + e.Himds
	case e.ContainerInstances():
		return IMDS, "the variables of Azure Container Instances are set: IDENTITY_HEADER, IDENTITY_SERVER_THUMBPRINT and IDENTITY_API_VERSION=" + e.APIVersion
	}
	return IMDS, "no variable of another host is set and no Arc agent is installed"
}

// ContainerInstances reports whether the variables are those of an Azure Container Instances container group.
// A group gets its tokens from IMDS, which may start later than the container.
func (e Environment) ContainerInstances() bool {
	return e.IdentityEndpoint == "" && e.IdentityHeader != "" && e.Thumbprint != "" && e.APIVersion == "2020-05-01"
}

// ArcVariables reports whether both variables of an Arc server are set; one alone means nothing.
func (e Environment) ArcVariables() bool {
	return e.IdentityEndpoint != "" && e.IMDSEndpoint != ""
}

// Notes returns warnings about variables that are set without the others that a host sets, and
// about an Arc agent that the variables of another host hide. They don't quote values, because
// some are secrets.
func (e Environment) Notes() []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	switch {
	case e.IdentityEndpoint != "" && e.IdentityHeader == "" && e.IMDSEndpoint == "":
		note("IDENTITY_ENDPOINT is set without IDENTITY_HEADER (App Service) or IMDS_ENDPOINT (Azure Arc) and is ignored")
	case e.IdentityEndpoint == "" && e.IdentityHeader != "" && !e.ContainerInstances():
		note("IDENTITY_HEADER is set without IDENTITY_ENDPOINT and is ignored; App Service sets both")
	}
	if e.IMDSEndpoint != "" && e.IdentityEndpoint == "" {
		note("IMDS_ENDPOINT is set without IDENTITY_ENDPOINT and is ignored; Azure Arc sets both")
	}
	if e.Thumbprint != "" && (e.IdentityEndpoint == "" || e.IdentityHeader == "") && !e.ContainerInstances() {
		note("IDENTITY_SERVER_THUMBPRINT is set without both IDENTITY_ENDPOINT and IDENTITY_HEADER and is ignored; Service Fabric sets all three")
	}
	if e.MSISecret != "" && e.MSIEndpoint == "" {
		note("MSI_SECRET is set without MSI_ENDPOINT and is ignored; Azure ML sets both")
	}
	host, reason := e.Host()
	switch {
	case host == AzureArc:
	case e.Himds == "" && e.ArcVariables():
		note("the variables of Azure Arc are set (IDENTITY_ENDPOINT and IMDS_ENDPOINT), but another host's take precedence: %s. To use the Arc agent, unset the other host's variables, or set Source to AzureArc", reason)
	case e.Himds != "":
		note("the Arc agent is installed (%s), but another host's variables take precedence: %s. To use the Arc agent, unset the other host's variables, or set Source to AzureArc", e.Himds, reason)
	}
	return notes
}
