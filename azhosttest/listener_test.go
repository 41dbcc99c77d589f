// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhosttest_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

func TestConcurrentEndpoint(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	endpoints := make([]string, 50)
	var wg sync.WaitGroup
	for i := range endpoints {
		wg.Go(func() { endpoints[i] = vm.Endpoint() })
	}
	wg.Wait()
	for _, e := range endpoints {
		require.Equal(t, vm.Endpoint(), e)
	}
	require.Regexp(t, `^http://127\.0\.0\.1:[0-9]+/[a-z2-7]{10}/metadata/identity/oauth2/token$`, vm.Endpoint())
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.Stop() // before it has ever listened
	endpoint := vm.Endpoint()
	_, err := http.Get(endpoint)
	require.ErrorContains(t, err, "refused")
	for range 2 { // the second Start has no effect
		require.NoError(t, vm.Start())
		status, _, _ := get(t, endpoint, "x=y")
		require.Equal(t, 400, status)
	}
	for range 2 {
		vm.Stop()
		_, err = http.Get(endpoint)
		require.ErrorContains(t, err, "refused")
	}
	require.Equal(t, endpoint, vm.Endpoint())

	squatter, err := net.Listen("tcp", strings.Split(endpoint, "/")[2])
	require.NoError(t, err)
	require.Error(t, vm.Start())
	require.NoError(t, squatter.Close())
	require.NoError(t, vm.Start())

	vm.Close()
	vm.Close()
	require.ErrorContains(t, vm.Start(), "after Close")
	_, err = http.Get(endpoint)
	require.ErrorContains(t, err, "refused")
}

func TestListenAddresses(t *testing.T) {
	t.Parallel()
	a, err := azhosttest.ListenArc(":0", t.TempDir())
	require.NoError(t, err)
	defer a.Close()
	require.True(t, strings.HasPrefix(a.Endpoint(), "http://127.0.0.1:"))
	_, err = getToken(t, a.Options())
	require.NoError(t, err)

	_, err = azhosttest.ListenVM("256.0.0.1:0")
	require.Error(t, err)
}

func TestCloseStopsGoroutines(t *testing.T) {
	// Not parallel, because it checks the whole process for goroutines of the package.
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	require.NoError(t, err)
	arrived := make(chan struct{})
	vm.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) {
		close(arrived)
		return azhosttest.Fault{Delay: time.Hour}, true
	})
	ended := make(chan error)
	go func() {
		// net/http doesn't notice that the client has disconnected while a body is unread.
		resp, err := http.Post(vm.Endpoint(), "text/plain", strings.NewReader("unread"))
		if err == nil {
			err = errors.Join(errors.New(resp.Status), resp.Body.Close())
		}
		ended <- err
	}()
	<-arrived
	vm.Close()
	require.Error(t, <-ended)
	// net/http reports a closed connection while the aborted handler is still unwinding.
	stacks := make([]byte, 1<<20)
	require.Eventually(t, func() bool {
		return !strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "azhosttest.(*Host).ServeHTTP")
	}, 10*time.Second, time.Millisecond)
	require.Zero(t, vm.Requests()[0].Status)
}

func TestStopFromCallback(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.OnRequest(func(azhosttest.Request) { vm.Stop() })
	resp, err := http.Get(vm.Endpoint())
	if err == nil { // the response may arrive first
		require.NoError(t, resp.Body.Close())
	}
	_, err = http.Get(vm.Endpoint())
	require.ErrorContains(t, err, "refused")
	vm.RequireRequests(t, 1)
}

func TestStoppedAndSilentInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := azhosttest.NewArc(t)
		a.Stop()
		_, err := do(t, memory{a}, t.Context(), good)
		var dial *net.OpError
		require.ErrorAs(t, err, &dial)
		require.Equal(t, "dial", dial.Op)
		require.Equal(t, "127.0.0.1:40342", dial.Addr.String())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)

		require.NoError(t, a.Start())
		a.Silence(true)
		start := time.Now()
		_, err = do(t, memory{a}, t.Context(), good)
		require.ErrorAs(t, err, &dial)
		require.True(t, dial.Timeout())
		require.Equal(t, 30*time.Second, time.Since(start))
		a.Silence(false)
		a.RequireRequests(t, 0) // none has arrived

		resp, err := do(t, memory{a}, t.Context(), good)
		require.NoError(t, err)
		require.Equal(t, 401, resp.StatusCode)
	})
}

func TestVMEnvironment(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	require.Equal(t, vm.Endpoint(), vm.Environment()["AZURE_POD_IDENTITY_AUTHORITY_HOST"]+"/metadata/identity/oauth2/token")
}

func TestOptionsAreCopies(t *testing.T) {
	t.Parallel()
	a := azhosttest.NewArc(t)
	for name, options := range map[string]func() *azhost.ManagedIdentityCredentialOptions{"loopback": a.Options, "memory": a.InMemory} {
		first := options()
		first.ID = azhost.ClientID("x")
		second := options()
		require.Nil(t, second.ID, name)
		require.Equal(t, azhost.SourceAzureArc, second.Source, name)
		require.Equal(t, a.KeyDirectory(), second.ArcKeyDirectory, name)
	}
	require.Empty(t, azhosttest.NewVM(t).Options().ArcKeyDirectory)
}

func TestCredentialsShareTokens(t *testing.T) {
	t.Parallel()
	get := func(o *azhost.ManagedIdentityCredentialOptions) string {
		cred, err := azhost.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://r"}})
		require.NoError(t, err)
		return token.Token
	}
	for name, options := range map[string]func(*azhosttest.VM) *azhost.ManagedIdentityCredentialOptions{
		"loopback": func(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions { return vm.Options() },
		"memory":   func(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions { return vm.InMemory() },
	} {
		vm, other := azhosttest.NewVM(t), azhosttest.NewVM(t)
		require.Equal(t, get(options(vm)), get(options(vm)), name)
		require.NotEqual(t, get(options(vm)), get(options(other)), name)
		vm.RequireRequests(t, 1)
		other.RequireRequests(t, 1)
	}
}

// Two hosts that have the same port, one after the other, have different URLs.
func TestHostsHaveDifferentPaths(t *testing.T) {
	t.Parallel()
	first, second := azhosttest.NewAppService(t), azhosttest.NewAppService(t)
	path := func(app *azhosttest.AppService) string { return "/" + strings.SplitN(app.Endpoint(), "/", 4)[3] }
	require.NotEqual(t, path(first), path(second))
	address := "http://" + strings.Split(second.Endpoint(), "/")[2]
	for path, want := range map[string]int{path(first): 404, path(second): 401, "/msi/token": 401} {
		status, _, _ := get(t, address+path, "")
		require.Equal(t, want, status, path)
		last := second.Requests()[second.RequestCount()-1]
		require.Equal(t, want == 401, last.Path == "/msi/token", path)
	}
}

func TestFixedPortHasRealPath(t *testing.T) {
	vm, err := azhosttest.ListenVM("127.0.0.1:0")
	require.NoError(t, err)
	address := strings.Split(vm.Endpoint(), "/")[2]
	vm.Close()
	vm, err = azhosttest.ListenVM(address)
	require.NoError(t, err)
	defer vm.Close()
	require.Equal(t, "http://"+address+"/metadata/identity/oauth2/token", vm.Endpoint())
}

func TestServeHTTP(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	server := httptest.NewServer(vm) // for tests that need TLS
	defer server.Close()
	status, _, fields := get(t, server.URL+"/metadata/identity/oauth2/token", good[1:], "Metadata: true")
	require.Equal(t, 200, status)
	_, err := vm.Verify(text(fields["access_token"]))
	require.NoError(t, err)
}
