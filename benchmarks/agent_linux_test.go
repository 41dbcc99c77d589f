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

// TestMain runs the benchmarks in a process of its own, where /var/opt is a file system in memory,
// so that azidentity finds there the keys of an agent that is not real. That takes root, or a
// kernel that lets users make namespaces.
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
		fmt.Fprintln(os.Stderr, "azidentity is left out on Arc:", err)
	} else if err := mountAgent(); err != nil {
		fmt.Fprintln(os.Stderr, "azidentity is left out on Arc:", err)
	} else {
		agentKeys = "/var/opt/azcmagent/tokens"
	}
	os.Exit(m.Run())
}

// mountAgent makes the directory of an agent's keys, in this process's namespace alone.
func mountAgent() error {
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return fmt.Errorf("keep mounts in the namespace: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/var/opt", "tmpfs", 0, "size=1m,mode=755"); err != nil {
		return fmt.Errorf("mount /var/opt: %w", err)
	}
	return os.MkdirAll("/var/opt/azcmagent/tokens", 0o755)
}
