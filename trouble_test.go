// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package azhost_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// transporter is a transport that leaves its answers as they are.
type transporter func(*http.Request) (*http.Response, error)

func (f transporter) Do(req *http.Request) (*http.Response, error) { return f(req) }

// onFakeVM is a failure on a VM that set changes.
func onFakeVM(id azhost.ManagedIDKind, set func(*azhosttest.VM)) func(*testing.T) error {
	return func(t *testing.T) error {
		vm := azhosttest.NewVM(t)
		set(vm)
		o := vm.InMemory()
		o.ID = id
		cred, err := azhost.NewManagedIdentityCredential(o)
		require.NoError(t, err)
		_, err = token(t.Context(), cred)
		return err
	}
}

// onFakeArc is a failure on an Arc server that set changes.
func onFakeArc(id azhost.ManagedIDKind, set func(*azhosttest.Arc)) func(*testing.T) error {
	return func(t *testing.T) error {
		a := azhosttest.NewArc(t)
		set(a)
		_, err := token(t.Context(), onArc(t, a, func(o *azhost.ManagedIdentityCredentialOptions) { o.ID = id }))
		return err
	}
}

// fault is a VM's answer, for good.
func fault(f azhosttest.Fault) func(*testing.T) error {
	return onFakeVM(nil, func(vm *azhosttest.VM) { vm.FailUntil(time.Now().Add(time.Hour), f) })
}

// by is a failure of a VM whose IMDS is a transport.
func by(w policy.Transporter) func(*testing.T) error {
	return func(t *testing.T) error {
		_, err := token(t.Context(), onVM(t, w))
		return err
	}
}

// body is a failure of a VM with an answer of IMDS's.
func body(text string) func(*testing.T) error {
	return by(always(answer(200, text, "Server: IMDS/1.0")))
}

// challenged is a failure of an Arc server with other challenges.
func challenged(values ...string) func(*testing.T) error {
	return onFakeArc(nil, func(a *azhosttest.Arc) { a.SetChallenge(func(string) []string { return values }) })
}

// named is a failure of an Arc server whose challenge names another file in its directory.
func named(name string, write func(t *testing.T, path string)) func(*testing.T) error {
	return func(t *testing.T) error {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if write != nil {
			write(t, path)
		}
		cred, err := azhost.NewManagedIdentityCredential(arcOptions(always(answer(401, "", "WWW-Authenticate: Basic realm="+path)), dir))
		require.NoError(t, err)
		_, err = token(t.Context(), cred)
		return err
	}
}

// options is what the constructor says to options.
func options(o azhost.ManagedIdentityCredentialOptions, env ...string) func(*testing.T) error {
	return func(t *testing.T) error {
		for i := 0; i < len(env); i += 2 {
			t.Setenv(env[i], env[i+1])
		}
		if o.Transport == nil {
			o.Transport = always(refusedDial)
		}
		cred, err := azhost.NewManagedIdentityCredential(&o)
		if err == nil {
			_, err = token(t.Context(), cred)
		}
		return err
	}
}

// scoped is what GetToken says to scopes.
func scoped(scopes ...string) func(*testing.T) error {
	return func(t *testing.T) error {
		_, err := onVM(t, always(goodToken)).GetToken(t.Context(), policy.TokenRequestOptions{Scopes: scopes})
		return err
	}
}

// second is a failure of a VM that has given a token before.
func second(then func(*http.Request) (*http.Response, error)) func(*testing.T) error {
	return func(t *testing.T) error {
		cred := onVM(t, &wire{answer: func(n int, req *http.Request) (*http.Response, error) {
			if n == 1 {
				return goodToken(req)
			}
			return then(req)
		}})
		_, err := token(t.Context(), cred)
		require.NoError(t, err)
		_, err = cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"another"}})
		return err
	}
}

func endpoint(source azhost.Source, url string) func(*testing.T) error {
	return options(azhost.ManagedIdentityCredentialOptions{Source: source, Endpoint: url})
}

// troubles are the messages, in the order of the page.
func troubles() map[string]trouble {
	list := map[string]trouble{}
	add := func(message string, make func(*testing.T) error) { list[message] = trouble{true, make} }
	only := func(here bool, message string, make func(*testing.T) error) { list[message] = trouble{here, make} }
	linux, windows := runtime.GOOS == "linux", runtime.GOOS == "windows"
	a := azhosttest.UserAssigned("a")
	client := azhost.ClientID(a.ClientID)
	const imds = "http://169.254.169.254/metadata/identity/oauth2/token"

	// Nobody answers, or somebody else does.
	add("This is no Azure VM, or a firewall, route or proxy keeps this program from its metadata service", by(always(refusedDial)))
	add("which is not an answer of IMDS: something else owns this address", fault(azhosttest.Portal()))
	add("which is not an answer of IMDS, although IMDS has answered here before", second(answer(404, "<html>")))
	add("IMDS has answered here before", second(refusedDial))
	add("A web proxy seems to be in the path; IMDS must be asked directly", fault(azhosttest.Fault{Status: 502}))
	add("The Arc agent is not running", onFakeArc(nil, func(a *azhosttest.Arc) { a.Stop() }))
	add("a token without a challenge, which no Arc agent sends", onFakeArc(nil, func(a *azhosttest.Arc) { a.Fail(azhosttest.Portal()) }))
	pinned := azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceIMDS, Endpoint: imds}
	add("is set without IDENTITY_ENDPOINT and is ignored", options(pinned, "IMDS_ENDPOINT", "x"))
	add("is set without IDENTITY_HEADER (App Service) or IMDS_ENDPOINT (Azure Arc) and is ignored", options(pinned, "IDENTITY_ENDPOINT", "x"))
	add("MSI_SECRET is set without MSI_ENDPOINT and is ignored", options(pinned, "MSI_SECRET", "x"))
	add("IDENTITY_SERVER_THUMBPRINT is set without both IDENTITY_ENDPOINT and IDENTITY_HEADER and is ignored", options(pinned, "IDENTITY_SERVER_THUMBPRINT", "x"))

	// The host refuses.
	add("Does this machine have a managed identity?", onFakeVM(nil, func(vm *azhosttest.VM) { vm.SetIdentities() }))
	add("assigned to this machine?", onFakeVM(client, func(*azhosttest.VM) {}))
	add("assigned to this server?", onFakeArc(client, func(*azhosttest.Arc) {}))
	add("This machine has several user-assigned identities; set ID to the one to use", onFakeVM(nil, func(vm *azhosttest.VM) {
		vm.SetIdentities(a, azhosttest.UserAssigned("b"))
	}))
	add("This agent is too old to select a user-assigned identity", onFakeArc(client, func(a *azhosttest.Arc) { a.IgnoreSelectors(true) }))
	add("the answer is a token for the identity with", onFakeVM(client, func(vm *azhosttest.VM) {
		vm.SetIdentities(a)
		vm.EditResponse(func(fields map[string]any) { fields["client_id"] = "another" })
	}))
	add("Microsoft Entra refuses this resource", onFakeVM(nil, func(vm *azhosttest.VM) { vm.AllowResources("another") }))
	add("This IMDS does not know the API version", fault(azhosttest.Fault{Status: 400, Body: `{"error":"api-version","newest-versions":["2017-08-01"]}`}))
	add("410 Gone", fault(azhosttest.Updating()))
	add("429 Too Many Requests", fault(azhosttest.Throttled(time.Second)))
	add("no token within 3m0s", fault(azhosttest.Throttled(55*time.Second)))
	add("500 Internal Server Error", fault(azhosttest.ServerError()))
	add("See azcmagent show for the agent's state", onFakeArc(nil, func(a *azhosttest.Arc) { a.Fail(azhosttest.Fault{Status: 400}) }))
	add("the agent refused the key that it had named", onFakeArc(nil, func(a *azhosttest.Arc) { a.RefuseKeys(100) }))

	// The Arc agent's key.
	ownKey := "/var/opt/azcmagent/tokens/none.key"
	agents := func(t *testing.T) error {
		cred, err := azhost.NewManagedIdentityCredential(arcOptions(always(answer(401, "", "WWW-Authenticate: Basic realm="+ownKey)), ""))
		require.NoError(t, err)
		_, err = token(t.Context(), cred)
		return err
	}
	_, err := os.Stat("/var/opt/azcmagent")
	only(linux && err != nil, "in a container, mount the agent's key directory and set ArcKeyDirectory", agents)
	// These two take an agent's directory, and an account that may not read it.
	only(false, "or add this user to the group", nil)
	only(false, "or add this account to the local group", nil)
	only(linux, "run the container with that group's numeric id, or as root", onFakeArc(nil, func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyUnreadable) }))
	only(linux || windows, "mount the directory that the agent writes its keys to at ArcKeyDirectory", onFakeArc(nil, func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyMissing) }))
	root := "/"
	if windows {
		root = `C:\`
	}
	add("is not in the agent's key directory", challenged("Basic realm="+root+"etc.key"))
	add("something other than the agent may have answered", challenged("Basic realm="+root+"shadow"))
	add("is not absolute", challenged("Basic realm=x.key"))
	add(`its name does not end in ".key"`, named("k.txt", nil))
	add(`its name begins with "."`, named(".key", nil))
	add("its name has a character other than letters, digits, '.', '_' and '-'", named("a b.key", nil))
	add("more than 255", named(strings.Repeat("k", 252)+".key", nil))
	add("more than 4096", named(strings.Repeat("k", 4096)+".key", nil))
	only(windows, "its name is that of a device", named("NUL.key", nil))
	only(!windows, "the key file is a link", named("k.key", func(t *testing.T, path string) { require.NoError(t, os.Symlink("/", path)) }))
	only(!windows, "is not a regular file but of type", named("k.key", func(t *testing.T, path string) { require.NoError(t, os.Mkdir(path, 0o755)) }))
	add("the key file is larger than 4096 bytes", onFakeArc(nil, func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyTooLarge) }))
	add("the key file is empty", onFakeArc(nil, func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyEmpty) }))
	add("the file does not hold a key", named("k.key", func(t *testing.T, path string) {
		require.NoError(t, os.WriteFile(path, []byte("two words"), 0o600))
	}))
	add("there is no WWW-Authenticate challenge", challenged())
	add("WWW-Authenticate has no Basic challenge", challenged("Negotiate"))
	add("the Basic challenge has no realm", challenged("Basic"))
	add("the Basic challenge has more than one realm", challenged(`Basic realm="a", realm="b"`))
	add("the Basic challenge's realm is empty", challenged(`Basic realm=""`))
	add("the Basic challenge's realm has a tab", challenged("Basic realm=\"a\tb\""))
	add("WWW-Authenticate is malformed at", challenged(`Basic realm="a`))
	add("WWW-Authenticate has a character that is not printable ASCII", challenged("Basic realm=/é.key"))
	add("WWW-Authenticate has more than 8192 bytes", challenged("Basic realm=/"+strings.Repeat("k", 8192)))

	// The answer cannot be used.
	add("which is not followed", fault(azhosttest.Fault{Status: 302, Header: http.Header{"Location": {"http://portal.example"}}}))
	add("the Transport followed a redirect to", by(transporter(func(req *http.Request) (*http.Response, error) {
		resp, err := goodToken(req)
		resp.Request = &http.Request{URL: &url.URL{Scheme: "http", Host: "portal.example"}, Response: &http.Response{}}
		return resp, err
	})))
	add("that was cut short", fault(azhosttest.Fault{Cut: true}))
	add("of more than 1 MiB", by(always(answer(200, strings.Repeat("x", 1<<20+1)))))
	const rest = `,"expires_in":3600}`
	add("the answer cannot be used: the answer is empty", body(""))
	add("the answer is a page of HTML or XML, not JSON", body("<html>"))
	add("the answer is not valid JSON", body("{"))
	add("the answer is JSON but not an object", body("[]"))
	add("the answer has no access_token", body("{}"))
	add("the answer's access_token is not a string", body(`{"access_token":1`+rest))
	add("the answer's access_token is empty", body(`{"access_token":""`+rest))
	add("the answer's access_token has a character that no header may carry", body(`{"access_token":"a b"`+rest))
	add("the answer's client_id is not a string", body(`{"access_token":"a","client_id":1`+rest))
	add("the answer's token_type is not Bearer", body(`{"access_token":"a","token_type":"mtls_pop"`+rest))
	add("the answer does not say when its token expires", body(`{"access_token":"a"}`))
	add("before it arrived, by this machine's clock", onFakeVM(nil, func(vm *azhosttest.VM) { vm.SetTokenLifetime(-time.Hour) }))

	// The program.
	add("the caller's context ended after", func(t *testing.T) error {
		vm := azhosttest.NewVM(t)
		vm.SetLatency(time.Hour)
		cred, err := azhost.NewManagedIdentityCredential(vm.InMemory())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = token(ctx, cred)
		return err
	})
	add("panic while requesting a token", by(transporter(func(*http.Request) (*http.Response, error) { panic("mine") })))
	add("the request's goroutine was ended by a policy or transport", by(transporter(func(*http.Request) (*http.Response, error) {
		runtime.Goexit()
		return nil, io.EOF
	})))
	add("GetToken requires exactly one scope", scoped())
	add("names no resource", scoped("/.default"))
	add("at most 2048 are accepted", scoped(strings.Repeat("s", 2049)))
	add("contains white space, control characters or invalid UTF-8", scoped("https://vault.azure.net\n"))
	add("is empty; for the system-assigned identity leave ID nil", options(azhost.ManagedIdentityCredentialOptions{ID: azhost.ClientID("")}))
	add("negative ConnectTimeout", options(azhost.ManagedIdentityCredentialOptions{ConnectTimeout: -1}))
	add("unknown Source", options(azhost.ManagedIdentityCredentialOptions{Source: "Mainframe"}))
	add("does not point to this machine", endpoint(azhost.SourceAzureArc, "http://10.0.0.4/x"))
	add("is not a URL", endpoint(azhost.SourceIMDS, "http://[::1"))
	add("is not an http or https URL", endpoint(azhost.SourceIMDS, "localhost:80"))
	add("names no host", endpoint(azhost.SourceIMDS, "http:///x"))
	add("has user information, which a token endpoint does not take", endpoint(azhost.SourceIMDS, "http://me@localhost/"))
	add("has a query or fragment", endpoint(azhost.SourceIMDS, "http://localhost/?a=b"))
	add("is not an absolute path", options(azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAzureArc, ArcKeyDirectory: "keys"}))
	only(!linux, "the directory of the Arc agent's keys is unknown", options(azhost.ManagedIdentityCredentialOptions{Source: azhost.SourceAzureArc}, "ProgramData", ""))
	only(false, "the Arc agent is installed (", nil) // which takes an agent
	for message, make := range platformTroubles() {
		add(message, make)
	}
	return list
}
