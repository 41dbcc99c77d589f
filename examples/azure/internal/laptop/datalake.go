// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

// FileSystem is the only file system in the fake account.
const FileSystem = "lake"

// DataLake starts the Data Lake Storage Gen2 endpoint of a storage account. It has one directory.
func DataLake() (*Service, error) {
	return start("https://"+Account+".dfs.core.windows.net", func(vm *azhosttest.VM) http.Handler {
		return &lake{vm: vm, files: make(map[string]*file)}
	})
}

// file is a file's content. Only the first flushed bytes are visible.
type file struct {
	content []byte
	flushed int
}

// lake is the handler of a Data Lake endpoint.
type lake struct {
	vm *azhosttest.VM

	mu    sync.Mutex
	files map[string]*file // by path in the file system; guarded by mu
}

func (l *lake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := caller(l.vm, r, storageAudience, storageAudience+"/"); err != nil {
		challengeStorage(w)
		lakeError(w, http.StatusUnauthorized, "InvalidAuthenticationInfo", err.Error())
		return
	}
	system, path, _ := strings.Cut(r.URL.Path[1:], "/")
	if system != FileSystem {
		lakeError(w, http.StatusNotFound, "FilesystemNotFound", "The specified filesystem does not exist.")
		return
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	query := r.URL.Query()
	switch {
	case r.Method == http.MethodGet && query.Get("resource") == "filesystem":
		fake.WriteJSON(w, http.StatusOK, map[string]any{"paths": l.list()})
	case r.Method == http.MethodPut && query.Get("resource") == "file":
		l.files[path] = &file{}
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPatch:
		l.patch(w, r, path)
	default:
		lakeError(w, http.StatusMethodNotAllowed, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.")
	}
}

// patch appends to a file, or flushes it.
func (l *lake) patch(w http.ResponseWriter, r *http.Request, path string) {
	f, ok := l.files[path]
	if !ok {
		lakeError(w, http.StatusNotFound, "PathNotFound", "The specified path does not exist.")
		return
	}
	position, err := strconv.Atoi(r.URL.Query().Get("position"))
	if err != nil || position != len(f.content) {
		lakeError(w, http.StatusBadRequest, "InvalidFlushPosition", "The position is not the end of the file.")
		return
	}
	switch r.URL.Query().Get("action") {
	case "append":
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			lakeError(w, http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The request body is too large.")
			return
		}
		f.content = append(f.content, body...)
		w.WriteHeader(http.StatusAccepted)
	case "flush":
		f.flushed = position
		w.WriteHeader(http.StatusOK)
	default:
		lakeError(w, http.StatusBadRequest, "InvalidQueryParameterValue", "The action is unknown.")
	}
}

// list returns the directory and the files sorted by name. The service returns numbers as strings.
func (l *lake) list() []map[string]any {
	now := time.Now().UTC().Format(http.TimeFormat)
	paths := []map[string]any{{"name": "TestFolder", "isDirectory": "true", "contentLength": "0", "lastModified": now}}
	for _, name := range slices.Sorted(maps.Keys(l.files)) {
		paths = append(paths, map[string]any{
			"name": name, "contentLength": strconv.Itoa(l.files[name].flushed), "lastModified": now,
		})
	}
	return paths
}

func lakeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("x-ms-error-code", code)
	writeError(w, status, code, message)
}
