// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package laptop

import (
	"crypto/hmac"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/examples/internal/fake"
)

// Container is the only container in the fake storage account.
const Container = "examples"

const (
	blobURL         = "https://" + Account + ".blob.core.windows.net"
	storageAudience = "https://storage.azure.com"
)

// Blob starts the blob service of a storage account. It requires a bearer token, and stores block
// blobs that are uploaded in one request.
func Blob() (*Service, error) {
	return start(blobURL, func(vm *azhosttest.VM) http.Handler { return newBlobs(vm) })
}

// SAS starts a Resource Manager and a blob service that accepts the shared access signatures that
// Resource Manager issues. URL is the blob service's.
func SAS() (*Service, error) {
	s, err := start(blobURL, func(vm *azhosttest.VM) http.Handler {
		manager, blobs := resourceManager(vm, cloud.AzurePublic), newBlobs(vm)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == fake.HostOf(blobURL) {
				blobs.ServeHTTP(w, r)
				return
			}
			manager.ServeHTTP(w, r)
		})
	})
	if err != nil {
		return nil, err
	}
	s.target = Account
	return s, nil
}

// blobs is the handler of a blob service.
type blobs struct {
	vm *azhosttest.VM

	mu      sync.Mutex
	content map[string][]byte // by path; guarded by mu
}

func newBlobs(vm *azhosttest.VM) *blobs {
	return &blobs{vm: vm, content: make(map[string][]byte)}
}

func (b *blobs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	container, _, ok := strings.Cut(r.URL.Path[1:], "/")
	if r.URL.Query().Has("sig") {
		if err := checkSAS(r, container); err != nil {
			storageError(w, http.StatusForbidden, "AuthenticationFailed", err.Error())
			return
		}
	} else if _, err := caller(b.vm, r, storageAudience, storageAudience+"/"); err != nil {
		challengeStorage(w)
		storageError(w, http.StatusUnauthorized, "InvalidAuthenticationInfo", err.Error())
		return
	}
	if !ok || container != Container {
		storageError(w, http.StatusNotFound, "ContainerNotFound", "The specified container does not exist.")
		return
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	w.Header().Set("ETag", `"0x8DCA0B1C2D3E4F5"`)
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	switch {
	case r.Method == http.MethodPut && r.Header.Get("x-ms-blob-type") == "BlockBlob":
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			storageError(w, http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The request body is too large.")
			return
		}
		b.content[r.URL.Path] = body
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodGet:
		body, ok := b.content[r.URL.Path]
		if !ok {
			storageError(w, http.StatusNotFound, "BlobNotFound", "The specified blob does not exist.")
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("x-ms-blob-type", "BlockBlob")
		_, _ = w.Write(body)
	default:
		storageError(w, http.StatusMethodNotAllowed, "UnsupportedHttpVerb", "The resource doesn't support the specified HTTP verb.")
	}
}

// checkSAS checks that the account's key signed the SAS of a request, and that the SAS allows the request.
func checkSAS(r *http.Request, container string) error {
	query := r.URL.Query()
	got := sas.NewQueryParameters(query, false)
	want, err := sign(sas.BlobSignatureValues{
		Version: got.Version(), ContainerName: container, Permissions: got.Permissions(),
		Protocol: got.Protocol(), ExpiryTime: got.ExpiryTime(),
	})
	permission := map[string]string{http.MethodGet: "r", http.MethodPut: "w"}[r.Method]
	switch {
	case err != nil:
		return err
	case !hmac.Equal([]byte(got.Signature()), []byte(want.Signature())):
		return fmt.Errorf("the signature does not match")
	case !time.Now().Before(got.ExpiryTime()):
		return fmt.Errorf("the signature has expired")
	case permission == "" || !strings.Contains(got.Permissions(), permission):
		return fmt.Errorf("the signature does not allow %s", r.Method)
	}
	return nil
}

// challengeStorage adds the challenge of a storage service, which names the audience.
func challengeStorage(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", "Bearer authorization_uri="+tenant()+"/oauth2/authorize resource_id="+storageAudience)
}

// storageError writes an error of the blob or the queue service, whose errors are XML.
func storageError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("x-ms-error-code", code)
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="utf-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
}
