// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package hosttest

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
)

// HostVariables are all the variables that detection reads.
var HostVariables = []string{
	"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IDENTITY_SERVER_THUMBPRINT", "IMDS_ENDPOINT", "MSI_ENDPOINT", "MSI_SECRET",
}

// Platforms are the environment variables that each host sets for its programs.
var Platforms = map[azhost.Source]map[string]string{
	azhost.SourceAppService: {"IDENTITY_ENDPOINT": "http://localhost:4141/msi/token", "IDENTITY_HEADER": "canary-secret"},
	azhost.SourceCloudShell: {"MSI_ENDPOINT": "http://localhost:50342/oauth2/token"},
	azhost.SourceAzureML:    {"MSI_ENDPOINT": "http://10.0.0.4:4142/token", "MSI_SECRET": "canary-secret", "DEFAULT_IDENTITY_CLIENT_ID": "default-id"},
	azhost.SourceServiceFabric: {
		"IDENTITY_ENDPOINT": "https://localhost:2377/metadata/identity/oauth2/token", "IDENTITY_HEADER": "canary-secret",
		"IDENTITY_SERVER_THUMBPRINT": "0123456789ABCDEF0123456789ABCDEF01234567",
	},
}

// SetHost sets the environment variables of a host in [Platforms], and clears those of all others. "" clears all.
func SetHost(t *testing.T, source azhost.Source) {
	t.Helper()
	for _, name := range slices.Concat(HostVariables, []string{"DEFAULT_IDENTITY_CLIENT_ID"}) {
		t.Setenv(name, Platforms[source][name])
	}
}

// InBubble runs f as a subtest in a bubble, with only the variables in env. Then it waits until f's background
// work has ended.
func InBubble(t *testing.T, name string, env map[string]string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		for _, v := range slices.Concat(HostVariables, []string{"IDENTITY_API_VERSION", "DEFAULT_IDENTITY_CLIENT_ID", "KUBERNETES_SERVICE_HOST"}) {
			t.Setenv(v, env[v])
		}
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(5 * time.Minute)
			f(t)
		})
	})
}
