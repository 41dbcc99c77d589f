// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package troubles

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/internal/advice"
	"github.com/stretchr/testify/require"
)

const onLinux, onWindows = runtime.GOOS == "linux", runtime.GOOS == "windows"

// hostTroubles returns the failures of IMDS, and those that any host may have.
func hostTroubles() map[string]*trouble {
	a, b := azhosttest.UserAssigned("a"), azhosttest.UserAssigned("b")
	client := azhost.ClientID(a.ClientID)
	return map[string]*trouble{
		advice.NotAzure:   here(by(always(refusedDial))),
		advice.Overloaded: here(by(transporter(hang))),
		advice.Blocked:    here(byKnown(always(refusedDial))),
		advice.PodBlocked: here(func(o *occasion) error {
			o.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
			return by(always(refusedDial))(o)
		}),
		advice.RespondedOnce: here(second(refusedDial)),
		advice.Impostor:      here(by(always(answer(200, "<html>Sign in</html>")))),

		advice.WebProxy:                 here(byKnown(always(answer(502, "Bad gateway")))),
		advice.NoForwarding:             here(refusal(400, "invalid_request", "The request has the header X-Forwarded-For")),
		"refusing to follow a redirect": here(fault(azhosttest.Fault{Status: 302, Header: http.Header{"Location": {"http://portal.example"}}})),
		"410 Gone":                      here(byKnown(always(answer(410, "")))),
		"429 Too Many Requests":         here(byKnown(always(answer(429, "", "Retry-After: 1")))),
		"was cut short":                 here(fault(azhosttest.Fault{Cut: true})),
		advice.EntraBusy:                here(refusal(500, "unknown", "AADSTS90033: A transient error has occurred.")),
		"503 Service Unavailable":       here(byKnown(always(answer(503, "Restarting")))),
		"500 Internal Server Error":     here(fault(azhosttest.ServerError())),
		"connection reset by peer":      here(byKnown(always(reset))),
		"the Transport followed a redirect to": here(by(transporter(func(req *http.Request) (*http.Response, error) {
			resp, err := goodToken(req)
			resp.Request = &http.Request{URL: &url.URL{Scheme: "http", Host: "portal.example"}, Response: &http.Response{}}
			return resp, err
		}))),

		"gave up waiting for a token for": here(func(o *occasion) error {
			cred := onVM(o.T, always(answer(410, "")), known, o.vary)
			ctx, cancel := context.WithTimeout(o.Context(), time.Duration(5+o.n)*time.Second)
			defer cancel()
			_, err := token(ctx, cred)
			return err
		}),
		"no token within 3m0s":                                        here(byKnown(always(answer(429, "", "Retry-After: 55")))),
		"there was no connection in time":                             here(stuckDial),
		"the request was accepted, but there was no response in time": here(byKnown(transporter(hang))),
		"it must honor its context": here(by(transporter(func(*http.Request) (*http.Response, error) {
			time.Sleep(4 * time.Minute)
			return nil, context.DeadlineExceeded
		}))),

		advice.AssignOne:              here(onFakeVM(nil, func(vm *azhosttest.VM) { vm.SetIdentities() })),
		"is assigned to this machine": here(onFakeVM(client, func(*azhosttest.VM) {})),
		"the token is for the identity with": here(onFakeVM(client, func(vm *azhosttest.VM) {
			vm.SetIdentities(a)
			vm.EditResponse(func(fields map[string]any) { fields["client_id"] = "another" })
		})),
		advice.ChooseOne:    here(onFakeVM(nil, func(vm *azhosttest.VM) { vm.SetIdentities(a, b) })),
		advice.AppNotFound:  here(refusal(400, "unauthorized_client", "AADSTS700016: Application with identifier 'x' was not found in the directory 'y'.")),
		advice.AppDisabled:  here(refusal(401, "unauthorized_client", "AADSTS7000112: Application 'x' is disabled.")),
		advice.NoResource:   here(onFakeVM(nil, func(vm *azhosttest.VM) { vm.AllowResources("another") })),
		advice.NoFederation: here(refusal(403, "unauthorized_client", "AADSTS70021: No matching federated identity record found.")),

		advice.AllowList:    here(byKnown(transporter(denied))),
		advice.AgentOffline: here(byKnown(always(answer(502, "", "Connection: close")))),
		advice.APIVersion:   here(byKnown(always(answer(400, `{"error":"api-version","newest-versions":["2017-08-01"]}`)))),
	}
}

// denied is the response of the Metadata Security Protocol's agent.
func denied(*http.Request) (*http.Response, error) {
	return answer(403, "", "Connection: close")(nil)
}

// arcTroubles returns the failures of an Arc agent and of its keys.
func arcTroubles() map[string]*trouble {
	client := azhost.ClientID(azhosttest.UserAssigned("a").ClientID)
	agents := func(o *occasion) error {
		w := always(answer(401, "", "WWW-Authenticate: Basic realm=/var/opt/azcmagent/tokens/"+o.letter("K.key")))
		return o.ask(arcOptions(w, ""))
	}
	_, err := os.Stat("/var/opt/azcmagent")
	root := "/"
	if onWindows {
		root = `C:\`
	}
	return map[string]*trouble{
		advice.AgentStopped: here(onFakeArc(nil, func(a *azhosttest.Arc) { a.Stop() })),
		"is assigned to this server, or leave ID nil for the system-assigned identity": here(onFakeArc(client, func(*azhosttest.Arc) {})),
		advice.AgentOutdated: here(onFakeArc(client, func(a *azhosttest.Arc) { a.IgnoreSelectors(true) })),
		advice.AgentStatus:   here(onFakeArc(nil, func(a *azhosttest.Arc) { a.Fail(azhosttest.Fault{Status: 400}) })),
		advice.KeyRejected:   here(onFakeArc(nil, func(a *azhosttest.Arc) { a.RefuseKeys(100) })),

		"denies access to": only(onLinux, onFakeArc(nil, func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyUnreadable) })),
		"Run the container as root or with the numeric ID of the host's group": only(onLinux, onFakeArc(nil, func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyUnreadable) })),
		// These need the agent's real directory and an account that can't read it.
		"Run as root, or add this user to the group":                                                    elsewhere,
		"Run as an administrator, or add this account to the local group":                               elsewhere,
		"In a container: mount the directory that the agent writes its keys to and set ArcKeyDirectory": only(onLinux && err != nil, agents),
		"Mount the directory that the agent writes its keys to at ArcKeyDirectory":                      only(onLinux || onWindows, onFakeArc(nil, func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyMissing) })),

		"is not in the agent's key directory":                                   here(challenged("Basic realm=" + root + "etc.key")),
		"the key file's path is not absolute":                                   here(challenged("Basic realm=x.key")),
		"more than 4096":                                                        here(challenged("Basic realm=" + root + strings.Repeat("k", 5000) + ".key")),
		`its name does not end in ".key"`:                                       here(named("K.txt", nil)),
		`its name begins with "."`:                                              here(named(".key", nil)),
		"its name has a character other than letters, digits, '.', '_' and '-'": here(named("K b.key", nil)),
		"more than 255":                                                         here(named(strings.Repeat("K", 252)+".key", nil)),
		"its name is that of a device":                                          only(onWindows, named("NUL.key", nil)),
		"the key file is a link": only(!onWindows, named("K.key", func(t *testing.T, path string) {
			require.NoError(t, os.Symlink("/", path))
		})),
		"is not a regular file but of type": only(!onWindows, named("K.key", func(t *testing.T, path string) {
			require.NoError(t, os.Mkdir(path, 0o755))
		})),
		"the key file is larger than 4096 bytes": here(onFakeArc(nil, func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyTooLarge) })),
		"the key file is empty":                  here(onFakeArc(nil, func(a *azhosttest.Arc) { a.SetKeyFault(azhosttest.KeyEmpty) })),
		"the file does not hold a key": here(named("K.key", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(path, []byte("two words"), 0o600))
		})),
		"the response has no WWW-Authenticate header":                                                       here(challenged()),
		"the response has more than one WWW-Authenticate header":                                            here(challenged("Negotiate", "Basic realm=/x.key")),
		"WWW-Authenticate is not a single Basic challenge with a realm":                                     here(challenged("Negotiate")),
		"the realm in WWW-Authenticate is empty":                                                            here(challenged(`Basic realm=""`)),
		"WWW-Authenticate has a character that is not printable ASCII":                                      here(challenged("Basic realm=/é.key")),
		"WWW-Authenticate has more than 8192 bytes":                                                         here(challenged("Basic realm=/" + strings.Repeat("k", 8192))),
		"received a response without a challenge; another program may be listening on the Arc agent's port": here(onFakeArc(nil, func(a *azhosttest.Arc) { a.Fail(azhosttest.Portal()) })),
	}
}

// answerTroubles returns the failures of invalid responses with status 200.
func answerTroubles() map[string]*trouble {
	const rest = `,"expires_in":3600}`
	return map[string]*trouble{
		"is larger than 1 MiB":                                                    here(byKnown(always(answer(200, strings.Repeat("x", 1<<20+1))))),
		"the response is empty":                                                   here(body("")),
		"the response is a page of HTML or XML, not JSON":                         here(body("<html>")),
		"the response is not valid JSON":                                          here(body("{")),
		"the response is JSON but not an object":                                  here(body("[]")),
		"the response has no access_token":                                        here(body("{}")),
		"the response's access_token is not a string":                             here(body(`{"access_token":1` + rest)),
		"the response's access_token is empty":                                    here(body(`{"access_token":""` + rest)),
		"the response's access_token has a character that is invalid in a header": here(body(`{"access_token":"a b"` + rest)),
		"the response's client_id is not a string":                                here(body(`{"access_token":"a","client_id":1` + rest)),
		"the response's token_type is not Bearer":                                 here(body(`{"access_token":"a","token_type":"mtls_pop"` + rest)),
		"the response does not say when its token expires":                        here(body(`{"access_token":"a"}`)),
		"the token has already expired":                                           here(onFakeVM(nil, func(vm *azhosttest.VM) { vm.SetTokenLifetime(-time.Hour) })),
	}
}

// stuckDial is the failure of a client that gives up before its dialer does.
func stuckDial(o *occasion) error {
	return byKnown(&http.Client{Timeout: time.Second, Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		time.Sleep(time.Minute) // net/http's dialer may outlive the request
		return nil, os.ErrDeadlineExceeded
	}}})(o)
}
