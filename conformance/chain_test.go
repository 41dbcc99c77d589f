// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"context"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// next is the second credential of a chain.
type next struct {
	asked int
	err   error
}

func (n *next) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	n.asked++
	return azcore.AccessToken{Token: "next", ExpiresOn: time.Now().Add(time.Hour)}, n.err
}

// chain gets a token from azidentity's chain of an azhost credential and another one.
func chain(t *testing.T, ctx context.Context, o *azhost.ManagedIdentityCredentialOptions, second azcore.TokenCredential) (string, error) {
	t.Helper()
	o.UnavailableError = azidentity.NewCredentialUnavailableError
	first, err := azhost.NewManagedIdentityCredential(o)
	require.NoError(t, err)
	both, err := azidentity.NewChainedTokenCredential([]azcore.TokenCredential{first, second}, nil)
	require.NoError(t, err)
	token, err := both.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	return token.Token, err
}

// dialing is a Transport whose dialer fails at once.
type dialing struct{ err syscall.Errno }

func (d dialing) Do(*http.Request) (*http.Response, error) {
	address := &net.TCPAddr{IP: net.IPv4(169, 254, 169, 254), Port: 80}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address, Err: d.err}
}

// answering is another service at IMDS's address.
func answering(status int, body string, header ...string) func(*azhosttest.VM) *azhost.ManagedIdentityCredentialOptions {
	fault := azhosttest.Fault{Status: status, Body: body, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		fault.Header.Set(header[i], header[i+1])
	}
	return func(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions {
		vm.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) { return fault, true })
		return unknown(vm)
	}
}

// unknown returns options for a machine that isn't known to be an Azure VM, because they set Endpoint.
func unknown(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions {
	o := vm.InMemory()
	o.Endpoint = "http://169.254.169.254/metadata/identity/oauth2/token"
	return o
}

// unreached is a VM whose IMDS can't be reached.
func unreached(errno syscall.Errno) func(*azhosttest.VM) *azhost.ManagedIdentityCredentialOptions {
	return func(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions {
		o := unknown(vm)
		o.Transport = dialing{errno}
		return o
	}
}

func TestChainContinues(t *testing.T) {
	const docker = "connecting to 169.254.169.254:80: connecting to 169.254.169.254:80: dial tcp 169.254.169.254:80: "
	for _, test := range []struct {
		name   string
		spoil  func(*azhosttest.VM) *azhost.ManagedIdentityCredentialOptions
		within time.Duration // in the bubble; zero means at once
	}{
		{"connection refused", func(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions {
			vm.Stop()
			return unknown(vm)
		}, 0},
		{"silence", func(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions {
			vm.Silence(true)
			return unknown(vm)
		}, 30 * time.Second},
		{"network unreachable", unreached(syscall.ENETUNREACH), 0},
		{"host unreachable", unreached(syscall.EHOSTUNREACH), 0},
		{"network down", unreached(syscall.ENETDOWN), 0},
		{"forbidden by a firewall", unreached(syscall.EACCES), 0},
		{"EC2's 404", answering(404, "<html><body>404 - Not Found</body></html>", "Server", "EC2ws"), 0},
		{"EC2's 401", answering(401, "<html><body>401 - Unauthorized</body></html>", "Server", "EC2ws"), 0},
		{"GCE's 403", answering(403, "Missing Metadata-Flavor:Google header.", "Server", "Metadata Server for VM"), 0},
		{"GCE's 404", answering(404, "<!DOCTYPE html><title>Error 404</title>", "Metadata-Flavor", "Google"), 0},
		{"captive portal", answering(200, azhosttest.Portal().Body, "Content-Type", "text/html"), 0},
		{"captive portal's redirect", answering(302, "", "Location", "http://portal.example/"), 0},
		{"proxy's 404", answering(404, "<html>There is no such page</html>", "Via", "1.1 proxy"), 0},
		{"proxy's 502", answering(502, "<html>Bad gateway</html>", "Via", "1.1 proxy"), 0},
		{"proxy's 504", answering(504, "<html>Gateway timeout</html>", "Via", "1.1 proxy"), 0},
		{"captive portal's 511", answering(511, "<html>Please sign in</html>"), 0},
		{"410 before a response of IMDS", answering(410, ""), 0},
		{"Docker Desktop, English", answering(403, docker+"connectex: A socket operation was attempted to an unreachable network."), 0},
		{"Docker Desktop, Norwegian", answering(403, docker+"connectex: Det ble forsøkt en socketoperasjon mot et nettverk som ikke kan nås."), 0},
		{"no identity", func(vm *azhosttest.VM) *azhost.ManagedIdentityCredentialOptions {
			vm.SetIdentities()
			return unknown(vm)
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm, second, start := azhosttest.NewVM(t), next{}, time.Now()
				token, err := chain(t, t.Context(), test.spoil(vm), &second)
				require.NoError(t, err)
				require.Equal(t, "next", token)
				require.Equal(t, 1, second.asked)
				require.Equal(t, test.within, time.Since(start)) // on the bubble's clock
				require.LessOrEqual(t, vm.RequestCount(), 1)
			})
		})
	}
}

// Over real sockets, with azhost's default transport.
func TestChainContinuesOverLoopback(t *testing.T) {
	t.Parallel()
	vm, agent := azhosttest.NewVM(t), azhosttest.NewArc(t)
	vm.Stop()
	agent.Stop()
	for name, o := range map[string]*azhost.ManagedIdentityCredentialOptions{"IMDS": vm.Options(), "Arc": agent.Options()} {
		o.Transport = nil
		o.Retry.MaxRetries = -1 // otherwise azhost waits for an agent that restarts
		second := next{}
		token, err := chain(t, t.Context(), o, &second)
		require.NoError(t, err, name)
		require.Equal(t, "next", token, name)
	}
}

func TestChainStops(t *testing.T) {
	type options = *azhost.ManagedIdentityCredentialOptions
	always := func(fault azhosttest.Fault) func(*azhosttest.VM, options) {
		return func(vm *azhosttest.VM, _ options) {
			vm.FailWhile(func(azhosttest.Request) (azhosttest.Fault, bool) { return fault, true })
		}
	}
	// IMDS is known after its first response, and azhost then retries.
	known := func(fault azhosttest.Fault) func(*azhosttest.VM, options) {
		return func(vm *azhosttest.VM, o options) {
			cred, err := azhost.NewManagedIdentityCredential(o)
			require.NoError(t, err)
			_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://another.example/.default"}})
			require.NoError(t, err)
			always(fault)(vm, o)
		}
	}
	json := http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Server": {"IMDS/150.870.65.1854"}}
	ended, end := context.WithCancel(t.Context())
	end()
	for _, test := range []struct {
		name  string
		spoil func(*azhosttest.VM, options)
		ctx   context.Context // nil for one that doesn't end
		limit time.Duration   // of the context, if any
		want  string
	}{
		{"missing client ID", func(_ *azhosttest.VM, o options) { o.ID = azhost.ClientID("x") }, nil, 0, "Identity not found"},
		{"missing object ID", func(_ *azhosttest.VM, o options) { o.ID = azhost.ObjectID("x") }, nil, 0, "Identity not found"},
		{"missing resource ID", func(_ *azhosttest.VM, o options) { o.ID = azhost.ResourceID("x") }, nil, 0, "Identity not found"},
		{"several identities", func(vm *azhosttest.VM, _ options) { vm.SetIdentities(user, other) }, nil, 0, "Multiple user assigned"},
		{"invalid resource", func(vm *azhosttest.VM, _ options) { vm.AllowResources("https://another.example") }, nil, 0, "invalid_resource"},
		{"another AADSTS code", always(azhosttest.Fault{Status: 400, Header: json,
			Body: `{"error":"invalid_request","error_description":"AADSTS500011: The resource principal was not found."}`}), nil, 0, "AADSTS500011"},
		{"always throttled", always(azhosttest.Throttled(time.Second)), nil, 0, "429"},
		{"always throttled, without Retry-After", always(azhosttest.Throttled(0)), nil, 0, "429"},
		{"always a server error", always(azhosttest.ServerError()), nil, 0, "500"},
		{"always WireServer's error", always(azhosttest.WireServer()), nil, 0, "500"},
		{"always updating", known(azhosttest.Updating()), nil, 0, "410"},
		{"a canceled call", func(*azhosttest.VM, options) {}, ended, 0, "context canceled"},
		{"a deadline while connecting", func(vm *azhosttest.VM, _ options) { vm.Silence(true) }, nil, time.Second, "deadline exceeded"},
		{"a deadline before the response", func(vm *azhosttest.VM, _ options) { vm.SetLatency(time.Minute) }, nil, time.Second, "deadline exceeded"},
		{"a deadline during retries", known(azhosttest.Updating()), nil, 5 * time.Second, "deadline exceeded; last attempt: IMDS: GET http"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vm, second := azhosttest.NewVM(t), next{}
				o := vm.InMemory()
				test.spoil(vm, o)
				ctx := t.Context()
				if test.ctx != nil {
					ctx = test.ctx
				}
				if test.limit > 0 {
					limited, cancel := context.WithTimeout(ctx, test.limit)
					defer cancel()
					ctx = limited
				}
				_, err := chain(t, ctx, o, &second)
				require.ErrorContains(t, err, test.want)
				var failed *azidentity.AuthenticationFailedError
				require.ErrorAs(t, err, &failed)
				require.Zero(t, second.asked)
				time.Sleep(2 * time.Minute) // an attempt outlives its caller, and a bubble waits for its goroutines
			})
		})
	}
}

func TestChainAllUnavailable(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.Stop()
	second := next{err: azidentity.NewCredentialUnavailableError("nor here")}
	_, err := chain(t, t.Context(), unknown(vm), &second)
	require.ErrorContains(t, err, "This machine isn't an Azure VM")
	require.ErrorContains(t, err, "nor here")
	var failed *azidentity.AuthenticationFailedError
	require.NotErrorAs(t, err, &failed, "an outer chain must continue")
}

// Without UnavailableError, azidentity's chain doesn't continue.
func TestChainWithoutUnavailableError(t *testing.T) {
	t.Parallel()
	vm := azhosttest.NewVM(t)
	vm.Stop()
	first, err := azhost.NewManagedIdentityCredential(unknown(vm))
	require.NoError(t, err)
	second := next{}
	both, err := azidentity.NewChainedTokenCredential([]azcore.TokenCredential{first, &second}, nil)
	require.NoError(t, err)
	_, err = both.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://vault.azure.net/.default"}})
	require.Error(t, err)
	require.Zero(t, second.asked)
}
