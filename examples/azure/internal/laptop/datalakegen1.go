// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

// gen1Audience ends in a slash. Gen1 requires an exact match.
const gen1Audience = "https://datalake.azure.net/"

// DataLakeGen1 starts a Data Lake Storage Gen1 account, whose protocol is WebHDFS. It has one
// directory.
func DataLakeGen1() (*Service, error) {
	return start("https://laptop.azuredatalakestore.net", func(vm *azhosttest.VM) http.Handler {
		return &webHDFS{vm: vm, url: "https://laptop.azuredatalakestore.net", length: make(map[string]int)}
	})
}

// webHDFS is the handler of a Gen1 account. It keeps the length of each file, not the content.
type webHDFS struct {
	vm  *azhosttest.VM
	url string

	mu     sync.Mutex
	length map[string]int // by path; guarded by mu
}

func (h *webHDFS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := caller(h.vm, r, gen1Audience); err != nil {
		w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="`+tenant()+`", error="invalid_token"`)
		remoteException(w, http.StatusUnauthorized, "AccessControlException", err.Error())
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/webhdfs/v1/")
	query := r.URL.Query()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch op := query.Get("op"); {
	case !ok:
		remoteException(w, http.StatusNotFound, "FileNotFoundException", "The path must begin with /webhdfs/v1/.")
	case r.Method == http.MethodGet && op == "LISTSTATUS" && path == "":
		fake.WriteJSON(w, http.StatusOK, map[string]any{"FileStatuses": map[string]any{"FileStatus": h.list()}})
	case r.Method == http.MethodPut && op == "CREATE" && !query.Has("write"):
		// The client sends the content again to the URL in Location.
		w.Header().Set("Location", h.url+r.URL.Path+"?op=CREATE&write=true")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case r.Method == http.MethodPut && op == "CREATE":
		n, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			remoteException(w, http.StatusRequestEntityTooLarge, "IOException", "The content is too large.")
			return
		}
		h.length[path] = int(n)
		w.WriteHeader(http.StatusCreated)
	default:
		remoteException(w, http.StatusBadRequest, "UnsupportedOperationException", "The operation is unknown: "+op)
	}
}

func (h *webHDFS) list() []map[string]any {
	status := []map[string]any{{"pathSuffix": "TestFolder", "type": "DIRECTORY", "length": 0, "permission": "770"}}
	for _, path := range slices.Sorted(maps.Keys(h.length)) {
		status = append(status, map[string]any{"pathSuffix": path, "type": "FILE", "length": h.length[path], "permission": "770"})
	}
	return status
}

// remoteException writes an error of WebHDFS.
func remoteException(w http.ResponseWriter, status int, exception, message string) {
	fake.WriteJSON(w, status, map[string]any{"RemoteException": map[string]any{"exception": exception, "message": message}})
}
