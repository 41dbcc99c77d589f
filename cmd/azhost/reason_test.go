// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/azhosttest"
	"github.com/azhost/azhost/internal/detect"
	"github.com/stretchr/testify/require"
)

// TestCausesAreComplete checks that all advice of the library has a reason.
func TestCausesAreComplete(t *testing.T) {
	known := map[string]bool{}
	for _, c := range causes(azhost.SourceIMDS, "") {
		known[c.advice] = true
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "internal", "advice", "advice.go"), nil, 0)
	require.NoError(t, err)
	values, uses := map[string]string{}, map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			for i, name := range n.Names {
				if i < len(n.Values) && name.IsExported() {
					if text, ok := n.Values[i].(*ast.BasicLit); ok {
						values[name.Name], err = strconv.Unquote(text.Value)
						require.NoError(t, err)
					}
				}
			}
		case *ast.Ident:
			uses[n.Name]++
		}
		return true
	})
	require.Greater(t, len(values), 20)
	for name, text := range values {
		if uses[name] > 1 && name != "Impostor" { // always followed by NotAzure
			require.True(t, known[text], name)
		}
	}
}

// TestReasonsOfErrors checks the reasons that TestDoctor doesn't produce.
func TestReasonsOfErrors(t *testing.T) {
	rejected := func(status int, body string) func(*testing.T) wire {
		return func(t *testing.T) wire {
			vm := azhosttest.NewVM(t)
			vm.FailUntil(time.Now().Add(time.Hour), azhosttest.Fault{Status: status, Body: body})
			return vm.Do
		}
	}
	for _, test := range []struct {
		name   string
		wire   func(*testing.T) wire
		args   []string
		want   reason
		remedy string // part of it
	}{
		{"several identities", rejected(400, `{"error":"invalid_request","error_description":"Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"}`), nil, reasonSeveralIdentities, "Set ID"},
		{"a proxy that forwards", rejected(400, `{"error":"invalid_request","error_description":"Required metadata header not specified or X-Forwarded-For present"}`), nil, reasonProxy, "directly"},
		{"a proxy's page", rejected(502, "Bad gateway"), nil, reasonProxy, "proxy"},
		{"no token in the response", rejected(200, `{"access_token":""}`), nil, reasonUnusableResponse, "intercepts"},
		{"an agent of the Metadata Security Protocol without IMDS", rejected(503, ""), nil, reasonHostFailing, "ProxyAgent.log"},
		{"an old IMDS", rejected(400, `{"error":"Bad request. api-version is invalid","newest-versions":["2017-08-01"]}`), nil, reasonRequestFailed, "API version"},
		{"a policy of Microsoft Entra", rejected(400, `{"error":"invalid_request","error_description":"AADSTS53003: Blocked by policy"}`), nil, reasonRequestFailed, ""},
		{"a disabled identity", rejected(401, `{"error":"unauthorized_client","error_description":"AADSTS7000112: Application is disabled"}`), nil, reasonIdentityDeleted, "Enable the identity"},
		{"a long text before the advice", rejected(400, `{"error":"invalid_request","error_description":"AADSTS500011: `+strings.Repeat("x ", 450)+`"}`), nil, reasonResourceNotFound, "Check the scope"},
	} {
		t.Run(test.name, func(t *testing.T) {
			noHost(t)
			synctest.Test(t, func(t *testing.T) {
				known := func(p *process) { p.facts = func() facts { f := laptop(); f.azureVM = true; return f } }
				r := examined(t, do(t.Context(), test.wire(t), known, append([]string{"doctor", "--json"}, test.args...)...))
				require.Equal(t, test.want, r.Reason, r.find("token").Detail)
				require.Contains(t, r.find("token").Remedy, test.remedy)
				require.NotEmpty(t, r.Verdict)
			})
		})
	}
}

// TestReasonsHaveSections checks that the sections that reports link to exist.
func TestReasonsHaveSections(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "TROUBLESHOOTING.md"))
	require.NoError(t, err)
	for _, r := range reasons() {
		for _, host := range sources() {
			_, anchor, found := strings.Cut(r.url(azhost.Source(host)), "/TROUBLESHOOTING.md#")
			require.True(t, found)
			if r != reasonOK {
				require.True(t, strings.Contains(string(page), `<a id="`+anchor+`"></a>`), "TROUBLESHOOTING.md has no section %q", anchor)
			}
		}
	}
}

// TestExitStatusesAgree checks that token and doctor have the same exit status.
func TestExitStatusesAgree(t *testing.T) {
	noHost(t)
	for name, args := range map[string][]string{
		"no host":    nil,
		"Arc agent":  {"--source", "AzureArc", "--endpoint", detect.ArcTokenEndpoint, "--arc-key-directory", t.TempDir()},
		"IMDS alone": {"--source", "IMDS", "--timeout", "1s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				token := do(t.Context(), wire(refuse), nil, append([]string{"token", "vault"}, args...)...)
				settle()
				doctor := do(t.Context(), wire(refuse), nil, append([]string{"doctor", "vault"}, args...)...)
				require.Equal(t, doctor.code, token.code, "%s\n%s", token.stderr, doctor.stdout)
			})
		})
	}
}

// reasons returns all reasons.
func reasons() []reason {
	return []reason{
		reasonOK, reasonNotAzure, reasonForeignResponse, reasonProxy, reasonNoIdentity, reasonSeveralIdentities,
		reasonIdentityNotAssigned, reasonIdentityDeleted, reasonResourceNotFound, reasonHostDown, reasonHostFailing,
		reasonThrottled, reasonAgentDisconnected, reasonKeyUnreadable, reasonKeyMissing, reasonAccessDenied,
		reasonEnvironment, reasonTimeout, reasonUnusableResponse, reasonRequestFailed,
	}
}
