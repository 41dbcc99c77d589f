// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package detect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const secret = "c2VjcmV0"

// container is the environment in Azure Container Instances.
var container = Environment{IdentityHeader: secret, Thumbprint: "t", APIVersion: "2020-05-01"}

func TestHost(t *testing.T) {
	for _, test := range []struct {
		name string
		env  Environment
		want Host
	}{
		{"nothing", Environment{}, IMDS},
		{"Service Fabric", Environment{IdentityEndpoint: "e", IdentityHeader: secret, Thumbprint: "t"}, ServiceFabric},
		{"Service Fabric before Azure ML and Arc", Environment{IdentityEndpoint: "e", IdentityHeader: secret, Thumbprint: "t", MSIEndpoint: "m", MSISecret: secret, IMDSEndpoint: "i", Himds: "h"}, ServiceFabric},
		{"App Service", Environment{IdentityEndpoint: "e", IdentityHeader: secret}, AppService},
		{"App Service before Azure ML and Arc", Environment{IdentityEndpoint: "e", IdentityHeader: secret, MSIEndpoint: "m", MSISecret: secret, IMDSEndpoint: "i", Himds: "h"}, AppService},
		{"thumbprint without header", Environment{IdentityEndpoint: "e", Thumbprint: "t"}, IMDS},
		{"Azure ML", Environment{MSIEndpoint: "m", MSISecret: secret}, AzureML},
		{"Azure ML before Arc", Environment{MSIEndpoint: "m", MSISecret: secret, IdentityEndpoint: "e", IMDSEndpoint: "i"}, AzureML},
		{"Cloud Shell", Environment{MSIEndpoint: "m"}, CloudShell},
		{"Cloud Shell before Arc", Environment{MSIEndpoint: "m", Himds: "h"}, CloudShell},
		{"secret without endpoint", Environment{MSISecret: secret}, IMDS},
		{"Arc by its variables", Environment{IdentityEndpoint: "e", IMDSEndpoint: "i"}, AzureArc},
		{"Arc by its agent", Environment{Himds: "h"}, AzureArc},
		{"Arc by its agent, one variable alone", Environment{Himds: "h", IdentityEndpoint: "e"}, AzureArc},
		{"one of Arc's variables", Environment{IdentityEndpoint: "e"}, IMDS},
		{"the other of Arc's variables", Environment{IMDSEndpoint: "i"}, IMDS},
		{"Container Instances", container, IMDS},
		{"Container Instances after Cloud Shell", Environment{IdentityHeader: secret, Thumbprint: "t", APIVersion: "2020-05-01", MSIEndpoint: "m"}, CloudShell},
		{"header without endpoint", Environment{IdentityHeader: secret, IMDSEndpoint: "i"}, IMDS},
	} {
		t.Run(test.name, func(t *testing.T) {
			host, reason := test.env.Host()
			require.Equal(t, test.want, host)
			require.NotEmpty(t, reason)
		})
	}
}

func TestNotes(t *testing.T) {
	for _, test := range []struct {
		name string
		env  Environment
		want []string // what the notes begin with
	}{
		{"nothing", Environment{}, nil},
		{"whole sets", Environment{IdentityEndpoint: "e", IMDSEndpoint: "i", MSIEndpoint: ""}, nil},
		{"App Service", Environment{IdentityEndpoint: "e", IdentityHeader: secret}, nil},
		{"Container Instances", container, nil},
		{"almost Container Instances", Environment{IdentityHeader: secret, Thumbprint: "t", APIVersion: "2019-08-01"}, []string{"IDENTITY_HEADER is set without", "IDENTITY_SERVER_THUMBPRINT is set without"}},
		{"Container Instances and more", Environment{IdentityHeader: secret, Thumbprint: "t", APIVersion: "2020-05-01", MSISecret: secret}, []string{"MSI_SECRET is set without"}},
		{"endpoint alone", Environment{IdentityEndpoint: "e"}, []string{"IDENTITY_ENDPOINT is set without IDENTITY_HEADER (App Service) or IMDS_ENDPOINT (Azure Arc)"}},
		{"header alone", Environment{IdentityHeader: secret}, []string{"IDENTITY_HEADER is set without IDENTITY_ENDPOINT"}},
		{"IMDS_ENDPOINT alone", Environment{IMDSEndpoint: "i"}, []string{"IMDS_ENDPOINT is set without IDENTITY_ENDPOINT"}},
		{"thumbprint alone", Environment{Thumbprint: "t"}, []string{"IDENTITY_SERVER_THUMBPRINT is set without both IDENTITY_ENDPOINT and IDENTITY_HEADER"}},
		{"thumbprint on Arc", Environment{Thumbprint: "t", IdentityEndpoint: "e", IMDSEndpoint: "i"}, []string{"IDENTITY_SERVER_THUMBPRINT is set without both IDENTITY_ENDPOINT and IDENTITY_HEADER"}},
		{"secret alone", Environment{MSISecret: secret}, []string{"MSI_SECRET is set without MSI_ENDPOINT"}},
		{"hidden variables of Arc", Environment{IdentityEndpoint: "e", IMDSEndpoint: "i", MSIEndpoint: "m"}, []string{"the variables of Azure Arc are set (IDENTITY_ENDPOINT and IMDS_ENDPOINT), but another host's take precedence: MSI_ENDPOINT is set"}},
		{"a hidden agent", Environment{MSIEndpoint: "m", Himds: "/opt/h"}, []string{"the Arc agent is installed (/opt/h), but another host's variables take precedence: MSI_ENDPOINT is set"}},
		{"two at once", Environment{IdentityHeader: secret, MSISecret: secret}, []string{"IDENTITY_HEADER", "MSI_SECRET"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			notes := test.env.Notes()
			require.Len(t, notes, len(test.want), notes)
			for i, want := range test.want {
				require.True(t, strings.HasPrefix(notes[i], want), notes[i])
				require.NotContains(t, notes[i], secret)
			}
		})
	}
}

func TestHimdsPaths(t *testing.T) {
	env := map[string]string{"ProgramW6432": "W", "ProgramFiles": "F", "ProgramData": "D"}
	require.Equal(t, []string{
		filepath.Join("W", "AzureConnectedMachineAgent", "himds.exe"),
		filepath.Join("F", "AzureConnectedMachineAgent", "himds.exe"),
	}, HimdsPaths("windows", func(name string) string { return env[name] }))
	require.Empty(t, HimdsPaths("windows", func(string) string { return "" }))
	require.Equal(t, []string{"/opt/azcmagent/bin/himds"}, HimdsPaths("linux", func(string) string { return "" }))
	require.Empty(t, HimdsPaths("darwin", func(string) string { return "x" }))
}

func TestContainerInstances(t *testing.T) {
	require.True(t, container.ContainerInstances())
	_, reason := container.Host()
	require.Contains(t, reason, "Azure Container Instances")
	require.NotContains(t, reason, secret)
	for name, change := range map[string]func(*Environment){
		"endpoint":            func(e *Environment) { e.IdentityEndpoint = "e" },
		"no header":           func(e *Environment) { e.IdentityHeader = "" },
		"no thumbprint":       func(e *Environment) { e.Thumbprint = "" },
		"no API version":      func(e *Environment) { e.APIVersion = "" },
		"another API version": func(e *Environment) { e.APIVersion = "2020-05-02" },
	} {
		e := container
		change(&e)
		require.False(t, e.ContainerInstances(), name)
	}
}

func TestProxyAgentPaths(t *testing.T) {
	drive := func(value string) func(string) string {
		return func(name string) string { return map[string]string{"SystemDrive": value}[name] }
	}
	require.Equal(t, []string{"/usr/sbin/azure-proxy-agent"}, proxyAgentPaths("linux", drive("")))
	require.Equal(t, []string{"C:" + filepath.Join(`\`, "WindowsAzure", "ProxyAgent", "GuestProxyAgent", "GuestProxyAgent.exe")}, proxyAgentPaths("windows", drive("C:")))
	require.Empty(t, proxyAgentPaths("windows", drive("")))
	require.Empty(t, proxyAgentPaths("darwin", drive("C:")))
}

func TestInstalled(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "agent")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, test := range []struct {
		name  string
		paths []string
		want  string
	}{
		{"none", nil, ""},
		{"missing", []string{filepath.Join(dir, "other")}, ""},
		{"directory", []string{dir}, ""},
		{"file", []string{file}, file},
		{"second", []string{dir, file}, file},
	} {
		t.Run(test.name, func(t *testing.T) { require.Equal(t, test.want, installed(test.paths)) })
	}
}

func TestRead(t *testing.T) {
	names := []string{
		"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IDENTITY_API_VERSION", "IMDS_ENDPOINT",
		"MSI_ENDPOINT", "MSI_SECRET", "ProgramData",
	}
	for _, test := range []struct{ name, before, after string }{
		{"plain", "", ""}, {"newline at the end", "", "\n"}, {"CRLF at the end", "", "\r\n"}, {"white space around", " \t", " \r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range names {
				t.Setenv(name, test.before+"value of "+name+test.after)
			}
			e := Read()
			for i, value := range []string{
				e.IdentityEndpoint, e.IdentityHeader, e.Thumbprint, e.APIVersion, e.IMDSEndpoint, e.MSIEndpoint, e.MSISecret, e.ProgramData,
			} {
				require.Equal(t, "value of "+names[i], value)
			}
			host, _ := e.Host()
			require.Equal(t, ServiceFabric, host)
		})
	}
	t.Run("blank", func(t *testing.T) {
		for _, name := range names {
			t.Setenv(name, " \t\r\n")
		}
		e := Read()
		e.Himds = "" // of this machine
		require.Zero(t, e)
	})
}
