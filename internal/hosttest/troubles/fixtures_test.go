// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package troubles tests what can go wrong, and azhost's errors. It makes every message in
// TROUBLESHOOTING.md.
package troubles

import (
	"testing"

	"github.com/azhost/azhost/internal/hosttest"
)

// These are the fixtures of package hosttest, by shorter names.
type (
	wire       = hosttest.Wire
	safeBuffer = hosttest.Buffer
	policyFunc = hosttest.PolicyFunc
)

var (
	hostVariables      = hosttest.HostVariables
	platforms          = hosttest.Platforms
	always             = hosttest.Always
	answer             = hosttest.Answer
	goodToken          = hosttest.GoodToken
	refusedDial        = hosttest.RefusedDial
	droppedDial        = hosttest.DroppedDial
	reset              = hosttest.Reset
	credential         = hosttest.Credential
	onVM               = hosttest.OnVM
	known              = hosttest.Known
	onArc              = hosttest.OnArc
	arcOptions         = hosttest.ArcOptions
	onPlatform         = hosttest.OnPlatform
	token              = hosttest.Token
	requireUnavailable = hosttest.RequireUnavailable
	requireFailed      = hosttest.RequireFailed
	setHost            = hosttest.SetHost
	inBubble           = hosttest.InBubble
	fabric             = hosttest.Fabric
	fabricToken        = hosttest.FabricToken
	onFabric           = hosttest.OnFabric
)

func TestMain(m *testing.M) { hosttest.Main(m) }
