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

// SystemAssigned returns a system-assigned identity. Its IDs are fictitious, and always the same.
func SystemAssigned() Identity {
	return Identity{ClientID: guid("system client"), ObjectID: guid("system object"), TenantID: guid("tenant")}
}

// UserAssigned returns a user-assigned identity of that name. Its IDs are fictitious, and always
// the same for the same name.
func UserAssigned(name string) Identity {
	return Identity{
		ClientID: guid(name + " client"), ObjectID: guid(name + " object"), TenantID: guid("tenant"),
		ResourceID: "/subscriptions/" + guid("subscription") +
			"/resourceGroups/fake/providers/Microsoft.ManagedIdentity/userAssignedIdentities/" + name,
	}
}

// guid derives a version 8 UUID from a name.
func guid(name string) string {
	b := sha256.Sum256([]byte(name))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// selectors are the query parameters that select an identity, and what they are compared with.
var selectors = map[string]func(Identity) string{
	"client_id":  func(i Identity) string { return i.ClientID },
	"object_id":  func(i Identity) string { return i.ObjectID },
	"msi_res_id": func(i Identity) string { return i.ResourceID },
}

// selected returns the one selector in a query as "name=value", and "" for none; it reports false
// for more than one.
func selected(query url.Values) (name, value string, ok bool) {
	for n := range selectors {
		if query.Has(n) {
			if name != "" {
				return "", "", false
			}
			name, value = n, query.Get(n)
		}
	}
	return name, value, true
}

// find returns the identity that a selector names.
func (h *Host) find(name, value string) (Identity, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range h.identities {
		if value != "" && strings.EqualFold(selectors[name](id), value) {
			return id, true
		}
	}
	return Identity{}, false
}
