// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"errors"
	"net/http"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

const appConfigURL = "https://laptop.azconfig.io"

// AppConfig starts an App Configuration store. Its setting "greeting" has a value without a label, and
// one with the label "test".
func AppConfig() (*Service, error) {
	values := map[string]string{"": "hello from App Configuration", "test": "hello from a test"} // by label
	return start(appConfigURL, func(vm *azhosttest.VM) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := caller(vm, r, appConfigURL, appConfigURL+"/", "https://azconfig.io", "https://azconfig.io/"); err != nil {
				challenge := "HMAC-SHA256, Bearer"
				if !errors.Is(err, errNoToken) {
					challenge += ` error="invalid_token", error_description="Authorization token failed validation"`
				}
				w.Header().Set("WWW-Authenticate", challenge)
				w.WriteHeader(http.StatusUnauthorized) // without a body
				return
			}
			w.Header().Set("Sync-Token", "zAJw6V16=MDoxIzE=;sn=1")
			label := r.URL.Query().Get("label")
			value, ok := values[label]
			if r.Method != http.MethodGet || r.URL.Path != "/kv/greeting" || !ok {
				w.WriteHeader(http.StatusNotFound) // without a body
				return
			}
			setting := map[string]any{"key": "greeting", "label": nil, "value": value, "etag": "4f6dd610dd5e4deebc7fbaef685fb903",
				"content_type": "", "locked": false, "last_modified": "2024-01-01T00:00:00+00:00", "tags": map[string]any{}}
			if label != "" {
				setting["label"] = label
			}
			fake.WriteJSON(w, http.StatusOK, setting)
		})
	})
}
