// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

const (
	cosmosURL    = "https://laptop.documents.azure.com"
	cosmosScheme = "type=aad&ver=1.0&sig=" // of the Authorization header
)

// Cosmos starts a Cosmos DB account with one container, "greetings" in the database "examples". The
// container's partition key is /id.
func Cosmos() (*Service, error) {
	return start(cosmosURL, func(vm *azhosttest.VM) http.Handler {
		c := &cosmos{items: make(map[string][]byte)}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /{$}", describeAccount)
		mux.HandleFunc("POST /dbs/examples/colls/greetings/docs", c.upsert)
		mux.HandleFunc("GET /dbs/examples/colls/greetings/docs/{id}", c.read)
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			cosmosError(w, http.StatusNotFound, "NotFound", "Owner resource does not exist")
		})
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			token, ok := strings.CutPrefix(r.Header.Get("Authorization"), cosmosScheme)
			if !ok {
				cosmosError(w, http.StatusUnauthorized, "Unauthorized", "Required Header authorization is missing.")
				return
			}
			if _, err := check(vm, token, cosmosURL, cosmosURL+"/"); err != nil {
				cosmosError(w, http.StatusUnauthorized, "Unauthorized", err.Error())
				return
			}
			mux.ServeHTTP(w, r)
		})
	})
}

// describeAccount lists the account's regions, which clients request first.
func describeAccount(w http.ResponseWriter, _ *http.Request) {
	regions := []map[string]any{{"name": "West US", "databaseAccountEndpoint": cosmosURL + ":443/"}}
	fake.WriteJSON(w, http.StatusOK, map[string]any{
		"id": "laptop", "writableLocations": regions, "readableLocations": regions, "enableMultipleWriteLocations": false,
		"userConsistencyPolicy": map[string]any{"defaultConsistencyLevel": "Session"},
	})
}

// cosmos has the handlers of a container.
type cosmos struct {
	mu    sync.Mutex
	items map[string][]byte // by ID; guarded by mu
}

func (c *cosmos) upsert(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		cosmosError(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Request size is too large")
		return
	}
	var item struct{ ID string }
	if err := json.Unmarshal(body, &item); err != nil || item.ID == "" || r.Header.Get("x-ms-documentdb-is-upsert") != "true" || !inPartition(r, item.ID) {
		cosmosError(w, http.StatusBadRequest, "BadRequest", "The input content is invalid because the required properties - 'id; ' - are missing, or PartitionKey doesn't match.")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	status := http.StatusOK
	if c.items[item.ID] == nil {
		status = http.StatusCreated
	}
	c.items[item.ID] = body
	w.WriteHeader(status)
}

func (c *cosmos) read(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	item, ok := c.items[r.PathValue("id")]
	if !ok || !inPartition(r, r.PathValue("id")) {
		cosmosError(w, http.StatusNotFound, "NotFound", "Entity with the specified id does not exist in the system.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(item)
}

// inPartition reports whether the request is for the partition of an item.
func inPartition(r *http.Request, id string) bool {
	var key []string
	err := json.Unmarshal([]byte(r.Header.Get("x-ms-documentdb-partitionkey")), &key)
	return err == nil && len(key) == 1 && key[0] == id
}

func cosmosError(w http.ResponseWriter, status int, code, message string) {
	fake.WriteJSON(w, status, map[string]any{"code": code, "message": message})
}
