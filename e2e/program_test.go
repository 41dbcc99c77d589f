// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/azhost/azhost"
	"github.com/azhost/azhost/e2e/internal/line"
	"github.com/azhost/azhost/e2e/internal/netns"
	"github.com/stretchr/testify/require"
)

// vault is the resource of the tests that need only one.
const vault = "https://vault.azure.net"

// soon is a generous limit for calls that don't wait. Off Azure, an unmodified program must know in less
// than 100 ms, but a loaded machine may take that long to start a goroutine. A second attempt would start
// at least 1.6 s after the first.
const soon = 1500 * time.Millisecond

// program is a process of the command program.
type program struct {
	*process[line.Call]
	source string // as the credential reports it
}

// program starts the program with only the given environment, and waits until it has created its
// credential.
func (m *machine) program(environment []string, arguments ...string) *program {
	m.t.Helper()
	p := &program{process: start[line.Call](m, environment, "program", arguments...)}
	p.source = p.next().Source
	return p
}

// ask makes each of the program's n goroutines request a token.
func (p *program) ask(n int, resources ...string) []line.Call {
	p.t.Helper()
	p.write(strings.Join(resources, " "))
	return p.outcomes(n)
}

// outcomes returns the next n outcomes.
func (p *program) outcomes(n int) []line.Call {
	p.t.Helper()
	calls := make([]line.Call, n)
	for i := range calls {
		calls[i] = p.next()
	}
	return calls
}

// token gets a token with a program of one goroutine, and returns the token's digest.
func (p *program) token(resource string) string {
	p.t.Helper()
	return p.requireToken(p.ask(1, resource)[0])
}

func (p *program) requireToken(call line.Call) string {
	p.t.Helper()
	require.Empty(p.t, call.Error, "%s", p.said())
	require.NotEmpty(p.t, call.Token)
	require.True(p.t, call.Expires.After(time.Now()))
	return call.Token
}

// requireUnavailable requires that the program gets a CredentialUnavailableError.
func (p *program) requireUnavailable(within time.Duration) line.Call {
	p.t.Helper()
	call := p.ask(1, vault)[0]
	require.Equal(p.t, string(azhost.SourceIMDS), p.source)
	require.Equal(p.t, "unavailable", call.Type, "%s", call.Error)
	require.Empty(p.t, call.Token)
	require.Less(p.t, call.Took, within, "%s", call.Error)
	p.t.Logf("after %s: %s", call.Took.Round(10*time.Microsecond), call.Error)
	return call
}

func TestProgramsRequireNamespace(t *testing.T) {
	t.Parallel()
	here, err := netns.Current()
	require.NoError(t, err)
	for _, name := range []string{"program", "hosts"} {
		for _, outside := range []string{"", here} {
			t.Run(name+" outside "+outside, func(t *testing.T) {
				t.Parallel()
				// Without input, neither program sends anything, even if it doesn't fail.
				output, err := exec.Command(filepath.Join(binaries, name), "-outside", outside).CombinedOutput()
				var exit *exec.ExitError
				require.ErrorAs(t, err, &exit, "%s", output)
			})
		}
	}
}
