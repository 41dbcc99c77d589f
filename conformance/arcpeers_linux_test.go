// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPeersArc compares what azidentity's and MSAL's tests assert about the Arc agent.
func TestPeersArc(t *testing.T) { inNamespace(t, "agent_on_disk", testArcOfPeers) }

func testArcOfPeers(t *testing.T) {
	require.NoError(t, os.MkdirAll(keyDirectory, 0o755))
	key := func(name string, size int) string {
		path := filepath.Join(keyDirectory, name)
		require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("k", size)), 0o600))
		return "Www-Authenticate: Basic realm=" + path
	}
	good, largest, tooLarge := key("good.key", 16), key("largest.key", 4096), key("large.key", 4097)
	key("good.txt", 16)
	granting := func(echo string) answer {
		return answer{200, `{"access_token":"T","expires_in":3600` + echo + `}`, good}
	}
	challenged := func(challenge string) []answer { return []answer{{401, "", challenge}, granting("")} }
	rows := []behavior{
		{name: "system-assigned", answers: challenged(good), peer: "token after 2"},
		{name: "a key of 4096 bytes", answers: challenged(largest), peer: "token after 2"},
		{name: "a key of 4097 bytes", answers: challenged(tooLarge), peer: "failed after 1"},
		{name: "no challenge", answers: challenged(""), peer: "failed after 1"},
		{name: "a realm without a value", answers: challenged("Www-Authenticate: Basic realm"), peer: "failed after 1"},
		{name: "no realm", answers: challenged("Www-Authenticate: Basic "), peer: "failed after 1"},
		{name: "a token without a challenge", answers: []answer{granting("")}, peer: "failed after 1"},
		{name: "another extension", answers: challenged("Www-Authenticate: Basic realm=" + keyDirectory + "/good.txt"), peer: "failed after 1"},
		{name: "no extension", answers: challenged("Www-Authenticate: Basic realm=" + keyDirectory + "/good"), peer: "failed after 1"},
		{name: "another directory", answers: challenged("Www-Authenticate: Basic realm=/path/to/good.key"), peer: "failed after 1"},
		{name: "no directory", answers: challenged("Www-Authenticate: Basic realm=path/good.key"), peer: "failed after 1"},
		{name: "no response", retries: -1, answers: always(0, ""), peer: "failed after 1"},
		{name: "connection refused", retries: -1, answers: always(noListener, ""), peer: "failed after 1", azhost: "unavailable after 1", stated: departures + "If the agent has never responded, `GetToken` returns a `CredentialUnavailableError`"},
		{name: "no such file", answers: []answer{{401, "", "Www-Authenticate: Basic realm=" + keyDirectory + "/none.key"}}, peer: "failed after 1", azhost: "failed after 3", stated: departures + "azhost asks for a new challenge, up to three in all"},
		{name: "a rejected key", answers: []answer{{401, "", good}}, peer: "failed after 2", azhost: "failed after 6", stated: departures + "azhost asks for a new challenge, up to three in all"},
		{name: "not found", kind: "client", answers: []answer{{401, "", good}, {404, `{"error":"identity_not_found","error_description":"not assigned"}`, good}}, peer: "failed after 2", text: "identity_not_found"},
	}
	for kind, name := range map[string]string{"client": "client_id", "object": "object_id", "resource": "msi_res_id"} {
		echo := func(name, value string) []answer {
			return []answer{{401, "", good}, granting(`,"` + name + `":"` + value + `"`)}
		}
		rows = append(rows,
			behavior{kind: kind, name: "confirmed", answers: echo(name, "the-"+kind+"-id"), peer: "token after 2"},
			behavior{kind: kind, name: "confirmed in other case", answers: echo(name, strings.ToUpper("the-"+kind+"-id")), peer: "token after 2"},
			behavior{kind: kind, name: "not confirmed", answers: challenged(good), peer: "failed after 2"},
			behavior{kind: kind, name: "another confirmed", answers: echo(name, "another"), peer: "failed after 2"},
			behavior{kind: kind, name: "empty ID", answers: challenged(good), peer: "constructor"})
	}
	rows = append(rows, behavior{kind: "resource", name: "confirmed as mi_res_id", answers: []answer{{401, "", good}, granting(`,"mi_res_id":"the-resource-id"`)}, peer: "token after 2"})
	for _, b := range rows {
		b.place = "Azure Arc"
		for library, make := range map[string]maker{"azidentity": newAzidentity, "MSAL": newMSAL} {
			t.Run(library+"/"+b.name+"/"+b.kind, func(t *testing.T) { b.check(t, make) })
		}
	}
	t.Run("agent on disk", func(t *testing.T) {
		require.NoError(t, os.MkdirAll("/opt/azcmagent/bin", 0o755))
		require.NoError(t, os.WriteFile("/opt/azcmagent/bin/himds", nil, 0o755))
		for place, variables := range places {
			at(t, variables)
			requireSameHost(t, place)
		}
	})
}
