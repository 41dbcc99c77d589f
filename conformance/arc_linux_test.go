// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package conformance

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/azhost/azhost/azhosttest"
	"github.com/stretchr/testify/require"
)

// keyDirectory is the only directory that azidentity reads keys from.
const keyDirectory = "/var/opt/azcmagent/tokens"

// namespaced is set in the process that inNamespace starts.
const namespaced = "AZHOST_CONFORMANCE_NAMESPACE"

// inNamespace runs the test again in a mount namespace with in-memory file systems at /var/opt and /opt. It
// requires root or unprivileged user namespaces. It fails if the subtest last didn't run.
func inNamespace(t *testing.T, last string, test func(t *testing.T)) {
	if os.Getenv(namespaced) != "" {
		require.NoError(t, syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""), "so that no mount leaves the namespace")
		for _, dir := range []string{"/var/opt", "/opt"} {
			require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=755"))
		}
		test(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), namespaced+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS,
	}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name()+"/"+last)
}

func TestArc(t *testing.T) { inNamespace(t, "by_resource_ID", testArc) }

func testArc(t *testing.T) {
	for _, r := range selecting("identity_not_found", "identity_not_found") {
		t.Run(r.name, func(t *testing.T) {
			agent, err := azhosttest.ListenArc("127.0.0.1:0", keyDirectory)
			require.NoError(t, err)
			t.Cleanup(agent.Close)
			agent.Setenv(t)
			r.check(t, agent, noTransport)
		})
	}
	agent, err := azhosttest.ListenArc("127.0.0.1:0", keyDirectory)
	require.NoError(t, err)
	defer agent.Close()
	agent.Setenv(t)
	agent.SetIdentities(all...)
	agent.IgnoreSelectors(true)
	_, err = ask(t, agent, noTransport, azidentity.ClientID(user.ClientID))
	require.ErrorContains(t, err, "did not confirm the requested user-assigned managed identity")
}
