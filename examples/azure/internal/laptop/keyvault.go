// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"errors"
	"net/http"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

// KeyVault starts a vault with one secret, "greeting". The vault's name ends in suffix, such as
// ".vault.azure.net", which also determines the audience in its challenge.
func KeyVault(suffix string) (*Service, error) {
	return keyVault(suffix, func(map[string]any) bool { return true })
}

// App returns the user-assigned identity that can read the secrets of [UserAssigned].
func App() azhosttest.Identity { return azhosttest.UserAssigned("app") }

// UserAssigned starts a [KeyVault] on a VM with two identities. Only [App] can read secrets.
func UserAssigned() (*Service, error) {
	s, err := keyVault(".vault.azure.net", func(claims map[string]any) bool { return claims["oid"] == App().ObjectID })
	if err != nil {
		return nil, err
	}
	s.VM.SetIdentities(azhosttest.SystemAssigned(), App())
	return s, nil
}

func keyVault(suffix string, mayRead func(claims map[string]any) bool) (*Service, error) {
	vault, audience := "https://laptop"+suffix, "https://"+suffix[1:]
	return start(vault, func(vm *azhosttest.VM) http.Handler {
		secrets := http.NewServeMux()
		// The client omits the version, so the path ends in a slash.
		secrets.HandleFunc("GET /secrets/{name}/{$}", func(w http.ResponseWriter, r *http.Request) {
			name := r.PathValue("name")
			if name != "greeting" {
				writeError(w, http.StatusNotFound, "SecretNotFound", "A secret with (name/id) "+name+" was not found in this key vault.")
				return
			}
			fake.WriteJSON(w, http.StatusOK, map[string]any{
				"value":      "hello from Key Vault",
				"id":         vault + "/secrets/" + name + "/4387e9f3d6e14c459867679a90fd0f79",
				"attributes": map[string]any{"enabled": true, "created": 1704067200, "updated": 1704067200, "recoveryLevel": "Recoverable+Purgeable"},
			})
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, err := caller(vm, r, audience)
			switch {
			case err != nil:
				w.Header().Set("WWW-Authenticate", `Bearer authorization="`+tenant()+`", resource="`+audience+`"`)
				code := "AKV10022: Invalid token: "
				if errors.Is(err, errNoToken) {
					code = "AKV10000: "
				}
				writeError(w, http.StatusUnauthorized, "Unauthorized", code+err.Error())
			case !mayRead(claims):
				writeError(w, http.StatusForbidden, "Forbidden", "Caller is not authorized to perform action on resource.")
			default:
				secrets.ServeHTTP(w, r)
			}
		})
	})
}
