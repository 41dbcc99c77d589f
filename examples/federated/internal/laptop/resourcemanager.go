// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/azhost/azhost/examples/internal/fake"
)

// subscriptions lists the one subscription that the app can read.
func (a *Azure) subscriptions(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.mu.Lock()
	scope := a.issued[token]
	a.mu.Unlock()
	if scope == "" || !strings.HasPrefix(scope, a.cloud.Services[cloud.ResourceManager].Audience) {
		fake.WriteJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{
			"code": "InvalidAuthenticationToken", "message": "The access token is invalid.",
		}})
		return
	}
	const id = "aaaa0a0a-bb1b-cc2c-dd3d-eeeeee4e4e4e"
	fake.WriteJSON(w, http.StatusOK, map[string]any{"value": []any{map[string]any{
		"id": "/subscriptions/" + id, "subscriptionId": id, "displayName": "Development", "state": "Enabled", "tenantId": Tenant,
	}}})
}
