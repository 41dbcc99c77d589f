// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package detect

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const secret = "c2VjcmV0"

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
		{"endpoint alone", Environment{IdentityEndpoint: "e"}, []string{"IDENTITY_ENDPOINT is set without IDENTITY_HEADER (App Service) or IMDS_ENDPOINT (Azure Arc)"}},
		{"header alone", Environment{IdentityHeader: secret}, []string{"IDENTITY_HEADER is set without IDENTITY_ENDPOINT"}},
		{"IMDS_ENDPOINT alone", Environment{IMDSEndpoint: "i"}, []string{"IMDS_ENDPOINT is set without IDENTITY_ENDPOINT"}},
		{"thumbprint alone", Environment{Thumbprint: "t"}, []string{"IDENTITY_SERVER_THUMBPRINT is set without both"}},
		{"thumbprint on Arc", Environment{Thumbprint: "t", IdentityEndpoint: "e", IMDSEndpoint: "i"}, []string{"IDENTITY_SERVER_THUMBPRINT is set without both"}},
		{"secret alone", Environment{MSISecret: secret}, []string{"MSI_SECRET is set without MSI_ENDPOINT"}},
		{"hidden variables of Arc", Environment{IdentityEndpoint: "e", IMDSEndpoint: "i", MSIEndpoint: "m"}, []string{"IDENTITY_ENDPOINT and IMDS_ENDPOINT are those of Azure Arc, but MSI_ENDPOINT is set"}},
		{"a hidden agent", Environment{MSIEndpoint: "m", Himds: "/opt/h"}, []string{"the Arc agent is installed (/opt/h), but MSI_ENDPOINT is set"}},
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

func TestRead(t *testing.T) {
	for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET", "DEFAULT_IDENTITY_CLIENT_ID"} {
		t.Setenv(name, "value of "+name)
	}
	e := Read()
	require.Equal(t, []string{
		"value of IDENTITY_ENDPOINT", "value of IDENTITY_HEADER", "value of IDENTITY_SERVER_THUMBPRINT", "value of IMDS_ENDPOINT",
		"value of MSI_ENDPOINT", "value of MSI_SECRET", "value of DEFAULT_IDENTITY_CLIENT_ID",
	}, []string{e.IdentityEndpoint, e.IdentityHeader, e.Thumbprint, e.IMDSEndpoint, e.MSIEndpoint, e.MSISecret, e.DefaultClientID})
	host, _ := e.Host()
	require.Equal(t, ServiceFabric, host)
}
