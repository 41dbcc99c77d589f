// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// inNamespace is set in the process that TestMain starts.
const inNamespace = "AZHOST_BENCHMARKS_NAMESPACE"

// TestMain runs the benchmarks in a separate process with an in-memory file system at /var/opt, where
// azidentity finds the keys of the fake agent. That requires root or unprivileged user namespaces.
func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(inNamespace) == "" {
		cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		if os.Getuid() != 0 {
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		err := cmd.Run()
		if _, ran := errors.AsType[*exec.ExitError](err); ran || err == nil {
			os.Exit(cmd.ProcessState.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "skipping azidentity on Arc:", err)
	} else if err := mountAgent(); err != nil {
		fmt.Fprintln(os.Stderr, "skipping azidentity on Arc:", err)
	} else {
		agentKeys = "/var/opt/azcmagent/tokens"
	}
	os.Exit(m.Run())
}

// mountAgent creates the agent's key directory, which is visible only in this process's namespace.
func mountAgent() error {
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("keep mounts in the namespace: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/var/opt", "tmpfs", 0, "size=1m,mode=755"); err != nil {
		return fmt.Errorf("mount /var/opt: %w", err)
	}
	return os.MkdirAll("/var/opt/azcmagent/tokens", 0o755)
}
