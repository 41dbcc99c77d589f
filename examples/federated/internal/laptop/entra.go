// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/azhost/azhost/examples/internal/fake"
)

// discover confirms that an authority belongs to Microsoft Entra ID.
func discover(w http.ResponseWriter, r *http.Request) {
	fake.WriteJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": r.URL.Query().Get("authorization_endpoint"),
		"metadata":                  []any{},
	})
}

// configure returns a tenant's endpoints.
func configure(w http.ResponseWriter, r *http.Request) {
	tenant := "https://" + r.Host + "/" + r.PathValue("tenant")
	fake.WriteJSON(w, http.StatusOK, map[string]any{
		"issuer":                 tenant + "/v2.0",
		"authorization_endpoint": tenant + "/oauth2/v2.0/authorize",
		"token_endpoint":         tenant + "/oauth2/v2.0/token",
	})
}

// exchange issues a token for the app in exchange for an assertion of the machine's identity.
func (a *Azure) exchange(w http.ResponseWriter, r *http.Request) {
	if code, description := a.refusal(r); code != "" {
		fake.WriteJSON(w, http.StatusBadRequest, map[string]any{"error": code, "error_description": description})
		return
	}
	token := rand.Text()
	a.mu.Lock()
	a.issued[token] = r.PostFormValue("scope")
	a.mu.Unlock()
	fake.WriteJSON(w, http.StatusOK, map[string]any{"access_token": token, "expires_in": 3599, "token_type": "Bearer"})
}

// refusal returns the reason to reject a token request, or "".
func (a *Azure) refusal(r *http.Request) (code, description string) {
	switch {
	case r.PathValue("tenant") != Tenant:
		return "invalid_request", "AADSTS90002: Tenant '" + r.PathValue("tenant") + "' not found."
	case r.PostFormValue("client_id") != App:
		return "unauthorized_client", "AADSTS700016: Application with identifier '" + r.PostFormValue("client_id") + "' was not found in the directory."
	case r.PostFormValue("grant_type") != "client_credentials",
		r.PostFormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
		return "invalid_request", "AADSTS900144: The request must have a client assertion."
	}
	claims, err := a.VM.Verify(r.PostFormValue("client_assertion"))
	if err != nil {
		return "invalid_client", "AADSTS700027: The assertion's signature is invalid: " + err.Error()
	}
	for name, want := range map[string]string{"iss": a.issuer(), "sub": a.identity.ObjectID, "aud": a.audience} {
		if got := fmt.Sprint(claims[name]); got != want {
			return "invalid_client", fmt.Sprintf("AADSTS70021: No matching federated identity record found for the assertion's %s '%s'.", name, got)
		}
	}
	return "", ""
}
