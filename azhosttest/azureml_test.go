// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestAzureMLResponses(t *testing.T) {
	t.Parallel()
	a, b, system := azhosttest.UserAssigned("a"), azhosttest.UserAssigned("b"), azhosttest.SystemAssigned()
	all := []azhosttest.Identity{a, system, b}
	const good = "api-version=2017-09-01&resource=https://r"
	for _, test := range []struct {
		name       string
		identities []azhosttest.Identity
		query      string
		secret     string // "" for the valid one
		status     int
		want       string // part of the message, or the object ID
	}{
		{"system-assigned", all, good + "&clientid=", "", 200, system.ObjectID},
		{"by client ID", all, good + "&clientid=" + b.ClientID, "", 200, b.ObjectID},
		{"other selectors are ignored", all, good + "&clientid=&object_id=" + b.ObjectID + "&mi_res_id=" + url.QueryEscape(b.ResourceID), "", 200, system.ObjectID},
		{"no clientid", all, good, "", 400, "clientid"},
		{"no system-assigned", []azhosttest.Identity{a}, good + "&clientid=", "", 400, "Identity not found"},
		{"unknown clientid", all, good + "&clientid=x", "", 400, "Identity not found"},
		{"no identity", nil, good + "&clientid=", "", 400, "Identity not found"},
		{"no api-version", all, "resource=https://r&clientid=", "", 400, "api-version"},
		{"App Service's api-version", all, "api-version=2019-08-01&resource=https://r&clientid=", "", 400, "api-version"},
		{"no resource", all, "api-version=2017-09-01&clientid=", "", 400, "resource"},
		{"unknown resource", all, "api-version=2017-09-01&resource=https://r/&clientid=", "", 400, "AADSTS50001"},
		{"wrong secret", all, good + "&clientid=", "x", 401, "secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ml := azhosttest.NewAzureML(t)
			ml.SetIdentities(test.identities...)
			ml.AllowResources("https://r")
			secret := test.secret
			if secret == "" {
				secret = ml.Environment()["MSI_SECRET"]
			}
			status, _, fields := get(t, ml.Endpoint(), test.query, "secret: "+secret)
			require.Equal(t, test.status, status)
			r := ml.Requests()[0]
			require.Equal(t, "[removed]", r.Header.Get("Secret"))
			require.Equal(t, r.Query.Get("clientid") != "", r.Selector == "clientid="+r.Query.Get("clientid"))
			if status != 200 {
				require.Contains(t, fields["error"].(map[string]any)["message"], test.want)
				return
			}
			claims, err := ml.Verify(text(fields["access_token"]))
			require.NoError(t, err)
			require.Equal(t, test.want, claims["oid"])
			require.InDelta(t, time.Now().Add(24*time.Hour).Unix(), fields["expires_on"], 60, "not a number")
			require.NotContains(t, fields, "expires_in")
		})
	}
}

func TestAzureMLEnvironment(t *testing.T) {
	t.Setenv("DEFAULT_IDENTITY_CLIENT_ID", "of another host")
	a, b := azhosttest.UserAssigned("a"), azhosttest.UserAssigned("b")
	ml := azhosttest.NewAzureML(t)
	for _, test := range []struct {
		name       string
		identities []azhosttest.Identity
		want       string
	}{
		{"system-assigned", []azhosttest.Identity{azhosttest.SystemAssigned()}, ""},
		{"system-assigned among others", []azhosttest.Identity{a, azhosttest.SystemAssigned()}, ""},
		{"user-assigned", []azhosttest.Identity{a}, a.ClientID},
		{"several", []azhosttest.Identity{b, a}, b.ClientID},
		{"none", nil, ""},
	} {
		ml.SetIdentities(test.identities...)
		ml.Setenv(t)
		require.Equal(t, test.want, os.Getenv("DEFAULT_IDENTITY_CLIENT_ID"), test.name)
		require.Equal(t, ml.Endpoint(), os.Getenv("MSI_ENDPOINT"), test.name)
		require.NotEmpty(t, os.Getenv("MSI_SECRET"), test.name)
	}
}
