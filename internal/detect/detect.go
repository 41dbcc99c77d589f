// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package detect finds out, from the environment and the disk alone, on which Azure host a
// program runs. It touches no network.
package detect

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Host names a kind of host, as azhost.Source does.
type Host string

// The hosts, in the order in which they are looked for.
const (
	ServiceFabric Host = "ServiceFabric"
	AppService    Host = "AppService"
	AzureML       Host = "AzureML"
	CloudShell    Host = "CloudShell"
	AzureArc      Host = "AzureArc"
	IMDS          Host = "IMDS"
)

// Environment is all that detection looks at. The zero value is a machine that has nothing set
// and no Arc agent.
type Environment struct {
	IdentityEndpoint string // IDENTITY_ENDPOINT
	IdentityHeader   string // IDENTITY_HEADER, a secret
	Thumbprint       string // IDENTITY_SERVER_THUMBPRINT
	IMDSEndpoint     string // IMDS_ENDPOINT
	MSIEndpoint      string // MSI_ENDPOINT
	MSISecret        string // MSI_SECRET, a secret
	DefaultClientID  string // DEFAULT_IDENTITY_CLIENT_ID
	ProgramData      string // %ProgramData%, where the agent keeps its keys on Windows
	Himds            string // path of the Arc agent's service binary, "" when it is not on disk
}

// Read returns the environment of this process.
func Read() Environment {
	e := Environment{
		IdentityEndpoint: os.Getenv("IDENTITY_ENDPOINT"),
		IdentityHeader:   os.Getenv("IDENTITY_HEADER"),
		Thumbprint:       os.Getenv("IDENTITY_SERVER_THUMBPRINT"),
		IMDSEndpoint:     os.Getenv("IMDS_ENDPOINT"),
		MSIEndpoint:      os.Getenv("MSI_ENDPOINT"),
		MSISecret:        os.Getenv("MSI_SECRET"),
		DefaultClientID:  os.Getenv("DEFAULT_IDENTITY_CLIENT_ID"),
		ProgramData:      os.Getenv("ProgramData"),
	}
	for _, path := range HimdsPaths(runtime.GOOS, os.Getenv) {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			e.Himds = path
			break
		}
	}
	return e
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

// Host returns the host and why it is taken for that. The order is that of Microsoft's
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
	}
	return IMDS, "no variable of another host is set and no Arc agent is installed"
}

// ArcVariables reports whether both variables of an Arc server are set. One alone says nothing.
func (e Environment) ArcVariables() bool {
	return e.IdentityEndpoint != "" && e.IMDSEndpoint != ""
}

// Notes explains variables that come alone where a host sets several, and an Arc agent that is
// hidden behind another host's variables. It never quotes a value: some are secrets.
func (e Environment) Notes() []string {
	var notes []string
	note := func(format string, args ...any) { notes = append(notes, fmt.Sprintf(format, args...)) }
	switch {
	case e.IdentityEndpoint != "" && e.IdentityHeader == "" && e.IMDSEndpoint == "":
		note("IDENTITY_ENDPOINT is set without IDENTITY_HEADER (App Service) or IMDS_ENDPOINT (Azure Arc) and is ignored")
	case e.IdentityEndpoint == "" && e.IdentityHeader != "":
		note("IDENTITY_HEADER is set without IDENTITY_ENDPOINT and is ignored; App Service sets both")
	}
	if e.IMDSEndpoint != "" && e.IdentityEndpoint == "" {
		note("IMDS_ENDPOINT is set without IDENTITY_ENDPOINT and is ignored; Azure Arc sets both")
	}
	if e.Thumbprint != "" && (e.IdentityEndpoint == "" || e.IdentityHeader == "") {
		note("IDENTITY_SERVER_THUMBPRINT is set without both IDENTITY_ENDPOINT and IDENTITY_HEADER and is ignored; Service Fabric sets all three")
	}
	if e.MSISecret != "" && e.MSIEndpoint == "" {
		note("MSI_SECRET is set without MSI_ENDPOINT and is ignored; Azure ML sets both")
	}
	host, reason := e.Host()
	switch {
	case host == AzureArc:
	case e.Himds == "" && e.ArcVariables():
		note("IDENTITY_ENDPOINT and IMDS_ENDPOINT are those of Azure Arc, but %s, which comes first; to use the Arc agent, unset that or set Source to AzureArc", reason)
	case e.Himds != "":
		note("the Arc agent is installed (%s), but %s, which comes first; to use the agent, unset that or set Source to AzureArc", e.Himds, reason)
	}
	return notes
}
