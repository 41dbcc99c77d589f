// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// agentStatus is the part of "azcmagent show -j" that matters to tokens.
type agentStatus struct {
	Status        string `json:"status"` // "Connected", "Disconnected", "Expired", …
	Version       string `json:"agentVersion"`
	ResourceName  string `json:"resourceName"`
	LastHeartbeat string `json:"lastHeartbeat"`
	ErrorCode     string `json:"agentErrorCode"`
	ErrorDetails  string `json:"agentErrorDetails"`
}

func (a agentStatus) connected() bool { return strings.EqualFold(a.Status, "Connected") }

// azcmagentPath returns the path of the Arc agent's command, which is installed next to its service.
func azcmagentPath(himds string) string {
	if himds == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(himds), "azcmagent"+filepath.Ext(himds))
}

// askAgent asks the Arc agent for its state, which doesn't require administrator rights. The agent's command
// waits for its service.
func askAgent(ctx context.Context, azcmagent string) (agentStatus, error) {
	cmd := exec.CommandContext(ctx, azcmagent, "show", "-j")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return agentStatus{}, errors.New("azcmagent show: no result in time")
	}
	if err != nil {
		return agentStatus{}, fmt.Errorf("azcmagent show: %w", err)
	}
	var status agentStatus
	if json.Unmarshal(out, &status) != nil || status.Status == "" {
		return agentStatus{}, errors.New("azcmagent show -j: the output has no status")
	}
	return status, nil
}
