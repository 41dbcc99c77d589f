// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

// TableName is the only table in the fake storage account.
const TableName = "examples"

// Table starts the table service of a storage account.
func Table() (*Service, error) {
	return start("https://"+Account+".table.core.windows.net", func(vm *azhosttest.VM) http.Handler {
		return &table{vm: vm, entities: make(map[string]map[string]any)}
	})
}

// table is the handler of a table service.
type table struct {
	vm *azhosttest.VM

	mu       sync.Mutex
	entities map[string]map[string]any // by key, such as "PartitionKey='a',RowKey='b'"; guarded by mu
}

func (t *table) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := caller(t.vm, r, storageAudience, storageAudience+"/"); err != nil {
		challengeStorage(w)
		tableError(w, http.StatusUnauthorized, "InvalidAuthenticationInfo", err.Error())
		return
	}
	name, key, ok := strings.Cut(strings.TrimSuffix(r.URL.Path[1:], ")"), "(")
	if name != TableName || !ok {
		tableError(w, http.StatusNotFound, "TableNotFound", "The table specified does not exist.")
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch r.Method {
	case http.MethodPatch: // inserts the entity, or merges the properties into it
		var properties map[string]any
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&properties); err != nil {
			tableError(w, http.StatusBadRequest, "InvalidInput", err.Error())
			return
		}
		if t.entities[key] == nil {
			t.entities[key] = make(map[string]any)
		}
		maps.Copy(t.entities[key], properties)
		t.entities[key]["Timestamp"] = time.Now().UTC().Format(time.RFC3339Nano)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		entity, ok := t.entities[key]
		if !ok {
			tableError(w, http.StatusNotFound, "ResourceNotFound", "The specified resource does not exist.")
			return
		}
		fake.WriteJSON(w, http.StatusOK, entity)
	default:
		tableError(w, http.StatusMethodNotAllowed, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.")
	}
}

// tableError writes an error of the table service, whose errors are OData.
func tableError(w http.ResponseWriter, status int, code, message string) {
	fake.WriteJSON(w, status, map[string]any{"odata.error": map[string]any{
		"code": code, "message": map[string]any{"lang": "en-US", "value": message},
	}})
}
