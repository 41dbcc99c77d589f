// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"
)

// Identity is a managed identity of a fake host.
type Identity struct {
	ClientID   string
	ObjectID   string
	ResourceID string // "" for the system-assigned identity
	TenantID   string
}

// SystemAssigned returns a system-assigned identity. Its IDs are made up and always the same.
func SystemAssigned() Identity {
	return Identity{ClientID: guid("system client"), ObjectID: guid("system object"), TenantID: guid("tenant")}
}

// UserAssigned returns a user-assigned identity with a name. Its IDs are made up and always the same
// for the same name.
func UserAssigned(name string) Identity {
	return Identity{
		ClientID: guid(name + " client of user"), ObjectID: guid(name + " object of user"), TenantID: guid("tenant"),
		ResourceID: resourceGroup() + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name,
	}
}

// resourceGroup returns the resource ID of the resource group of all machines and identities.
func resourceGroup() string {
	return "/subscriptions/" + guid("subscription") + "/resourceGroups/fake"
}

// guid derives a version 8 UUID from a name.
func guid(name string) string {
	b := sha256.Sum256([]byte(name))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// selected returns the selectors in a query that the host knows, as "name=value". Azure ML's clientid
// is always sent, and selects nothing if it is empty.
func (h *Host) selected(query url.Values) []string {
	var s []string
	for _, name := range h.selectors {
		if query.Has(name) && (name != "clientid" || query.Get(name) != "") {
			s = append(s, name+"="+query.Get(name))
		}
	}
	return s
}

// find returns the identity that a selector, "name=value", selects. An empty value selects none.
func find(ids []Identity, selector string) (Identity, bool) {
	name, value, _ := strings.Cut(selector, "=")
	for _, id := range ids {
		own := id.ResourceID // msi_res_id, mi_res_id
		switch name {
		case "client_id", "clientid":
			own = id.ClientID
		case "object_id", "principal_id":
			own = id.ObjectID
		}
		if value != "" && strings.EqualFold(own, value) {
			return id, true
		}
	}
	return Identity{}, false
}

// system returns the system-assigned identity.
func system(ids []Identity) (Identity, bool) {
	for _, id := range ids {
		if id.ResourceID == "" {
			return id, true
		}
	}
	return Identity{}, false
}
