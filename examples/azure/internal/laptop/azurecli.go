// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
)

// AzureCLI starts a [KeyVault] on a machine that has no managed identity and whose user is signed in to the
// Azure CLI. Until Close, the first az on this process's PATH, the only place where azidentity looks for it,
// is a script that prints a token for Key Vault.
func AzureCLI(ctx context.Context) (*Service, error) {
	s, err := KeyVault(".vault.azure.net")
	if err != nil {
		return nil, err
	}
	restore, err := signIn(ctx, s.Machine)
	if err != nil {
		s.Close()
		return nil, err
	}
	gone, err := azhosttest.ListenVM("127.0.0.1:0")
	if err != nil {
		restore()
		s.Close()
		return nil, err
	}
	s.Machine = gone.Options()
	gone.Stop() // refuses connections
	shut := s.close
	s.close = func() { gone.Close(); restore(); shut() }
	return s, nil
}

// signIn puts a fake az on the PATH, and returns a function that removes it.
func signIn(ctx context.Context, machine *azhost.ManagedIdentityCredentialOptions) (func(), error) {
	cred, err := azhost.NewManagedIdentityCredential(machine)
	if err != nil {
		return nil, err
	}
	token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(map[string]any{"accessToken": token.Token, "expires_on": token.ExpiresOn.Unix(), "tokenType": "Bearer"})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "azhost-az-")
	if err != nil {
		return nil, err
	}
	path := os.Getenv("PATH")
	restore := func() { _ = os.Setenv("PATH", path); _ = os.RemoveAll(dir) }
	name, script := "az", "#!/bin/sh\ncat <<'END'\n"+string(answer)+"\nEND\n"
	if runtime.GOOS == "windows" {
		name, script = "az.cmd", "@echo "+string(answer)+"\r\n"
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
		restore()
		return nil, err
	}
	if err := os.Setenv("PATH", dir+string(os.PathListSeparator)+path); err != nil {
		restore()
		return nil, err
	}
	return restore, nil
}
