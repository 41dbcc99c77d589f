// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

const (
	registryAudience = "https://containerregistry.azure.net"
	registryUser     = "00000000-0000-0000-0000-000000000000" // user name that goes with a refresh token
)

// Registry starts a container registry with one repository, "samples/hello".
func Registry() (*Service, error) {
	const host = "laptop.azurecr.io"
	return start("https://"+host, func(vm *azhosttest.VM) http.Handler {
		return newRegistry(vm, host)
	})
}

// registry has the handlers of a container registry. It issues refresh tokens for Microsoft Entra
// tokens, and access tokens for refresh tokens.
type registry struct {
	vm   *azhosttest.VM
	host string
	key  []byte // signs the registry's tokens
}

func newRegistry(vm *azhosttest.VM, host string) http.Handler {
	r := &registry{vm: vm, host: host, key: make([]byte, 32)}
	_, _ = rand.Read(r.key) // never fails
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth2/exchange", r.exchange)
	mux.HandleFunc("POST /oauth2/token", r.token)
	mux.HandleFunc("GET /oauth2/token", r.token)
	mux.HandleFunc("GET /v2/{$}", r.authorized(func(w http.ResponseWriter, _ *http.Request) { fake.WriteJSON(w, http.StatusOK, struct{}{}) }))
	mux.HandleFunc("GET /acr/v1/{repository}/_tags", r.authorized(r.tags))
	return mux
}

// exchange issues a refresh token for a Microsoft Entra token.
func (r *registry) exchange(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, 1<<16)
	if req.PostFormValue("grant_type") != "access_token" || req.PostFormValue("service") != r.host {
		registryError(w, http.StatusBadRequest, "BAD_REQUEST", "the grant type or the service is invalid")
		return
	}
	if _, err := check(r.vm, req.PostFormValue("access_token"), registryAudience, "https://management.azure.com", "https://management.azure.com/"); err != nil {
		registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", err.Error())
		return
	}
	fake.WriteJSON(w, http.StatusOK, map[string]any{"refresh_token": r.sign("refresh_token", "", 3*time.Hour)})
}

// token issues an access token. Azure's clients post a refresh token; docker sends it as a password.
func (r *registry) token(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, 1<<16)
	refreshToken := req.PostFormValue("refresh_token")
	if user, password, ok := req.BasicAuth(); ok && user == registryUser {
		refreshToken = password
	}
	if _, err := r.verify(refreshToken, "refresh_token"); err != nil {
		registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", err.Error())
		return
	}
	fake.WriteJSON(w, http.StatusOK, map[string]any{"access_token": r.sign("access_token", req.FormValue("scope"), 75*time.Minute)})
}

func (r *registry) tags(w http.ResponseWriter, req *http.Request) {
	if req.PathValue("repository") != "samples/hello" {
		registryError(w, http.StatusNotFound, "NAME_UNKNOWN", "repository name not known to registry")
		return
	}
	fake.WriteJSON(w, http.StatusOK, map[string]any{
		"registry": r.host, "imageName": "samples/hello", "tags": []map[string]any{{"name": "v1"}, {"name": "v2"}},
	})
}

// authorized returns a handler that requires an access token for the repository in the path, if any.
func (r *registry) authorized(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		challenge, scope := `Bearer realm="https://`+r.host+`/oauth2/token",service="`+r.host+`"`, ""
		if repository := req.PathValue("repository"); repository != "" {
			scope = "repository:" + repository + ":metadata_read"
			challenge += `,scope="` + scope + `"`
		}
		token, _ := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
		if got, err := r.verify(token, "access_token"); err != nil || got != scope {
			w.Header().Set("WWW-Authenticate", challenge)
			registryError(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required, visit https://aka.ms/acr/authorization for more information.")
			return
		}
		handler(w, req)
	}
}

// claims are the claims of the registry's own tokens, which are JSON Web Tokens.
type claims struct {
	Type    string `json:"grant_type"`
	Scope   string `json:"scope"`
	Expires int64  `json:"exp"`
}

func (r *registry) sign(kind, scope string, lifetime time.Duration) string {
	payload, _ := json.Marshal(claims{kind, scope, time.Now().Add(lifetime).Unix()}) // never fails
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	return signed + "." + base64.RawURLEncoding.EncodeToString(r.mac(signed))
}

// verify returns the scope of a token, if the registry issued it, it is of the given kind, and it hasn't
// expired.
func (r *registry) verify(token, kind string) (scope string, err error) {
	end := max(strings.LastIndex(token, "."), 0)
	signature, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token[end:], "."))
	if err != nil || !hmac.Equal(signature, r.mac(token[:end])) {
		return "", errors.New("the registry did not issue this token")
	}
	var c claims
	_, payload, _ := strings.Cut(token[:end], ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Type != kind || time.Now().Unix() >= c.Expires {
		return "", errors.New("the token has expired, or is not a " + kind)
	}
	return c.Scope, nil
}

func (r *registry) mac(signed string) []byte {
	mac := hmac.New(sha256.New, r.key)
	mac.Write([]byte(signed))
	return mac.Sum(nil)
}

// registryError writes an error of the registry API.
func registryError(w http.ResponseWriter, status int, code, message string) {
	fake.WriteJSON(w, status, map[string]any{"errors": []map[string]any{{"code": code, "message": message}}})
}
