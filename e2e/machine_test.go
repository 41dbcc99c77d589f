// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package e2e_test

import (
	"crypto/rand"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	imds  = "169.254.169.254"
	agent = "127.0.0.1:40342"
	// keys is where the agent writes its keys and an unmodified program reads them.
	keys = "/var/opt/azcmagent/tokens"
)

// machine is a network namespace, with directories mounted over the real ones. A new machine has only
// loopback, and no firmware or Arc agent.
type machine struct {
	t      *testing.T
	name   string
	mounts map[string]string // path on the machine -> real path
}

// newMachine creates a machine, which the test's cleanup removes.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("network namespaces need iproute2: ", err)
	}
	m := &machine{t: t, name: "azhost-" + strings.ToLower(rand.Text()[:10]), mounts: map[string]string{}}
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", m.name).Run() })
	m.command("ip", "netns", "add", m.name)
	m.ip("link set lo up")
	for _, path := range []string{"/sys/class", "/opt", "/var/opt"} {
		m.mounts[path] = t.TempDir()
	}
	return m
}

// ip configures the machine's network.
func (m *machine) ip(arguments string) {
	m.t.Helper()
	m.command("ip", append([]string{"-n", m.name}, strings.Fields(arguments)...)...)
}

// file creates a file that the machine's processes see.
func (m *machine) file(path, content string) {
	m.t.Helper()
	for seen, dir := range m.mounts {
		if below, ok := strings.CutPrefix(path, seen+"/"); ok {
			path = filepath.Join(dir, below)
			require.NoError(m.t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(m.t, os.WriteFile(path, []byte(content), 0o755))
			return
		}
	}
	source := filepath.Join(m.t.TempDir(), "file")
	require.NoError(m.t, os.WriteFile(source, []byte(content), 0o644))
	m.mounts[path] = source
}

// azureVM gives the machine the firmware of an Azure VM.
func (m *machine) azureVM() {
	m.t.Helper()
	m.file("/sys/class/dmi/id/chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77\n")
}

// run runs a program of the system on the machine and returns its output.
func (m *machine) run(environment []string, name string, arguments ...string) string {
	m.t.Helper()
	command := m.exec(environment, name, arguments...)
	output, err := command.CombinedOutput()
	require.NoError(m.t, err, "%s: %s", command, output)
	return string(output)
}

// exec returns the command that runs a program on the machine, with only the given environment.
func (m *machine) exec(environment []string, name string, arguments ...string) *exec.Cmd {
	// ip netns exec has already created a separate mount namespace.
	const script = `while [ "$1" != -- ]; do mount --bind "$2" "$1" || exit 1; shift 2; done; shift; exec env -i "$@"`
	all := []string{"netns", "exec", m.name, "sh", "-c", script, "sh"}
	for _, seen := range slices.Sorted(maps.Keys(m.mounts)) {
		all = append(all, seen, m.mounts[seen])
	}
	all = append(append(all, "--"), environment...)
	return exec.Command("ip", append(append(all, name), arguments...)...)
}

func (m *machine) command(name string, arguments ...string) {
	m.t.Helper()
	command := exec.Command(name, arguments...)
	output, err := command.CombinedOutput()
	require.NoError(m.t, err, "%s: %s", command, output)
}
