// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

const good = "?api-version=2020-06-01&resource=https://r"

// do sends a request to a host without a socket.
func do(t *testing.T, host http.RoundTripper, ctx context.Context, query string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:40342/metadata/identity/oauth2/token"+query, nil)
	require.NoError(t, err)
	req.Header.Set("Metadata", "true")
	return host.RoundTrip(req)
}

// memory makes a host a RoundTripper.
type memory struct {
	host interface {
		Do(*http.Request) (*http.Response, error)
	}
}

func (m memory) RoundTrip(req *http.Request) (*http.Response, error) { return m.host.Do(req) }

func accessToken(resp *http.Response) string {
	var fields struct {
		Token string `json:"access_token"`
	}
	_ = json.NewDecoder(resp.Body).Decode(&fields)
	return fields.Token
}

func newTokenInMemory(t *testing.T, vm *azhosttest.VM, query string) string {
	t.Helper()
	resp, err := do(t, memory{vm}, t.Context(), query)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	return accessToken(resp)
}

func TestSameToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		vm := azhosttest.NewVM(t)
		vm.SetIdentities(azhosttest.SystemAssigned(), azhosttest.UserAssigned("a"))
		vm.SetTokenLifetime(time.Hour)
		require.NotEqual(t, newTokenInMemory(t, vm, good), newTokenInMemory(t, vm, good))

		vm.ReuseTokens(true)
		first := newTokenInMemory(t, vm, good)
		require.NotEqual(t, first, newTokenInMemory(t, vm, good+"/other"))
		require.NotEqual(t, first, newTokenInMemory(t, vm, good+"&client_id="+azhosttest.UserAssigned("a").ClientID))
		time.Sleep(time.Hour - time.Nanosecond)
		require.Equal(t, first, newTokenInMemory(t, vm, good))
		_, err := vm.Verify(first)
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		require.NotEqual(t, first, newTokenInMemory(t, vm, good))
		_, err = vm.Verify(first)
		require.ErrorContains(t, err, "expired at")

		second := newTokenInMemory(t, vm, good)
		vm.ReuseTokens(true)
		require.NotEqual(t, second, newTokenInMemory(t, vm, good))
	})
}

func TestTokenClaims(t *testing.T) {
	t.Parallel()
	a := azhosttest.UserAssigned("a")
	for _, test := range []struct {
		name, query string
		want        azhosttest.Identity
		mirid       string
	}{
		{"system-assigned", good, azhosttest.SystemAssigned(), "/providers/Microsoft.Compute/virtualMachines/"},
		{"user-assigned", good + "&object_id=" + a.ObjectID, a, a.ResourceID},
	} {
		t.Run(test.name, func(t *testing.T) {
			vm := azhosttest.NewVM(t)
			vm.SetIdentities(azhosttest.SystemAssigned(), a)
			claims, err := vm.Verify(newTokenInMemory(t, vm, test.query))
			require.NoError(t, err)
			require.Equal(t, "https://r", claims["aud"])
			require.Equal(t, vm.Issuer(), claims["iss"])
			require.Equal(t, "https://sts.windows.net/"+test.want.TenantID+"/", claims["iss"])
			require.Equal(t, test.want.TenantID, claims["tid"])
			require.Equal(t, test.want.ObjectID, claims["oid"])
			require.Equal(t, test.want.ObjectID, claims["sub"])
			require.Equal(t, test.want.ClientID, claims["appid"])
			require.Equal(t, "app", claims["idtyp"])
			require.Equal(t, "1.0", claims["ver"])
			require.Contains(t, claims["xms_mirid"], test.mirid)
			require.InDelta(t, 24*60*60, claims["exp"].(float64)-claims["iat"].(float64), 1)
			require.Equal(t, claims["iat"], claims["nbf"])
			require.NotEmpty(t, claims["uti"])
		})
	}
}

func TestIdentitiesAreStableAndDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, id := range []azhosttest.Identity{
		azhosttest.SystemAssigned(), azhosttest.UserAssigned("a"), azhosttest.UserAssigned("b"), azhosttest.UserAssigned("system"),
	} {
		for _, guid := range []string{id.ClientID, id.ObjectID} {
			require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, guid)
			require.False(t, seen[guid])
			seen[guid] = true
		}
	}
	require.Equal(t, azhosttest.UserAssigned("a"), azhosttest.UserAssigned("a"))
	require.Empty(t, azhosttest.SystemAssigned().ResourceID)
}

func TestVerifyRejects(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	own := newTokenInMemory(t, vm, good)
	for name, token := range map[string]string{
		"two parts":            "a.b",
		"four parts":           own + ".a",
		"no signature":         own[:len(own)-86],
		"another signature":    own[:len(own)-86] + newTokenInMemory(t, vm, good)[len(own)-86:],
		"not base64":           own[:len(own)-1] + "!",
		"another host's token": newTokenInMemory(t, azhosttest.NewVM(t), good),
	} {
		claims, err := vm.Verify(token)
		require.Error(t, err, name)
		require.Nil(t, claims, name)
		require.NotContains(t, err.Error(), token, name)
	}
}

func TestExpire(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.ReuseTokens(true)
	for range 2 {
		old := newTokenInMemory(t, vm, good)
		_, err := vm.Verify(old)
		require.NoError(t, err)
		vm.Expire()
		_, err = vm.Verify(old)
		require.ErrorContains(t, err, "expired")
		fresh := newTokenInMemory(t, vm, good)
		require.NotEqual(t, old, fresh)
		require.Equal(t, fresh, newTokenInMemory(t, vm, good))
		_, err = vm.Verify(fresh)
		require.NoError(t, err)
	}
}

func TestUnsupportedJSON(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*azhosttest.VM){
		"claims": func(vm *azhosttest.VM) { vm.SetClaims(map[string]any{"f": func() {}}) },
		"fields": func(vm *azhosttest.VM) { vm.EditResponse(func(f map[string]any) { f["f"] = make(chan int) }) },
	} {
		vm := azhosttest.NewVM(t)
		spoil(vm)
		o := vm.InMemory()
		o.Retry.MaxRetries = -1
		_, err := getToken(t, o)
		require.ErrorContains(t, err, name+": json: unsupported type")
	}
}

func TestResponseFields(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.SetRefreshIn(time.Hour)
	var sent map[string]any
	vm.EditResponse(func(f map[string]any) {
		sent = maps.Clone(f)
		delete(f, "access_token")
	})
	_, err := getToken(t, vm.InMemory())
	var failed *azhost.AuthenticationFailedError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "3600", sent["refresh_in"])
	require.Equal(t, azhosttest.SystemAssigned().ClientID, sent["client_id"])
	for _, name := range []string{"access_token", "token_type", "resource", "expires_in", "expires_on", "ext_expires_in", "not_before"} {
		require.IsType(t, "", sent[name], name)
		require.NotEmpty(t, sent[name], name)
	}

	vm.EditResponse(nil)
	_, err = getToken(t, vm.InMemory())
	require.NoError(t, err)

	a := azhosttest.NewArc(t)
	a.EditResponse(func(f map[string]any) { sent = maps.Clone(f) })
	_, err = getToken(t, a.InMemory())
	require.NoError(t, err)
	require.NotContains(t, sent, "client_id", "an agent returns only the selected ID")
}
