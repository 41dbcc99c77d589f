// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// A credential with its own options needs the agent's endpoint and key directory.
func ExampleArc_KeyDirectory() {
	agent, err := azhosttest.ListenArc("127.0.0.1:0", "")
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()

	cred := newCredential(&azhost.ManagedIdentityCredentialOptions{
		Source:          azhost.SourceAzureArc,
		Endpoint:        agent.Endpoint(),
		ArcKeyDirectory: agent.KeyDirectory(),
	})
	fmt.Println(report(context.Background(), cred))
	// Output: <nil>
}

// The agent restarts after its first challenge and forgets the key. The credential gets another
// challenge, after a pause that takes no time in a bubble.
func ExampleArc_Restart() {
	_ = func(t *testing.T) { // a test
		synctest.Test(t, func(t *testing.T) {
			agent := azhosttest.NewArc(t)
			agent.OnRequest(func(azhosttest.Request) {
				if agent.RequestCount() == 1 {
					agent.Restart()
				}
			})
			cred, err := azhost.NewManagedIdentityCredential(agent.InMemory())
			require.NoError(t, err)

			require.NoError(t, report(t.Context(), cred))
			agent.RequireRequests(t, 4) // two exchanges
		})
	}
}

// The agent rejects a valid key. The credential gets another challenge.
func ExampleArc_RefuseKeys() {
	_ = func(t *testing.T) { // a test
		synctest.Test(t, func(t *testing.T) {
			agent := azhosttest.NewArc(t)
			agent.RefuseKeys(1)
			cred, err := azhost.NewManagedIdentityCredential(agent.InMemory())
			require.NoError(t, err)

			require.NoError(t, report(t.Context(), cred))
			agent.RequireRequests(t, 4) // two exchanges
		})
	}
}

// Another program listens at the agent's address, and asks for a file that isn't a key. The credential
// doesn't send it.
func ExampleArc_SetChallenge() {
	agent, err := azhosttest.ListenArc("127.0.0.1:0", "")
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()
	secret := filepath.Join(os.TempDir(), "secret.key")
	agent.SetChallenge(func(string) []string { return []string{"Basic realm=" + secret} })

	err = report(context.Background(), newCredential(agent.InMemory()))
	fmt.Println(err != nil, agent.RequestCount(), "request")
	// Output: true 1 request
}

// The program's requests are so slow that every key expires before the agent gets it.
func ExampleArc_SetKeyLifetime() {
	_ = func(t *testing.T) { // a test
		synctest.Test(t, func(t *testing.T) {
			agent := azhosttest.NewArc(t)
			agent.SetLatency(2 * time.Second)
			agent.SetKeyLifetime(time.Second)
			cred, err := azhost.NewManagedIdentityCredential(agent.InMemory())
			require.NoError(t, err)

			require.ErrorContains(t, report(t.Context(), cred), "401")
			agent.RequireTokens(t, 0)
		})
	}
}

// The program selects an identity on an agent that is too old for that. The credential doesn't return a
// token of the wrong identity.
func ExampleArc_IgnoreSelectors() {
	agent, err := azhosttest.ListenArc("127.0.0.1:0", "")
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()
	backup := azhosttest.UserAssigned("backup")
	agent.SetIdentities(azhosttest.SystemAssigned(), backup)
	agent.IgnoreSelectors(true)

	options := agent.InMemory()
	options.ID = azhost.ClientID(backup.ClientID)
	err = report(context.Background(), newCredential(options))
	fmt.Println(err != nil, "status", statusOf(err))
	// Output: true status 200
}

// The key file is larger than any real one. The credential doesn't send it.
func ExampleKeyFault() {
	agent, err := azhosttest.ListenArc("127.0.0.1:0", "")
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()
	agent.SetKeyFault(azhosttest.KeyTooLarge)

	err = report(context.Background(), newCredential(agent.InMemory()))
	fmt.Println(err != nil, agent.RequestCount(), "request")
	// Output: true 1 request
}
