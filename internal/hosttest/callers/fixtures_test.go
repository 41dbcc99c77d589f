// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package callers tests how callers affect a host and each other: concurrent, sequential, impatient, and
// hostile callers.
package callers

import (
	"testing"

	"github.com/azhost/azhost/internal/hosttest"
)

// These are the fixtures of package hosttest, by shorter names.
type (
	wire       = hosttest.Wire
	safeBuffer = hosttest.Buffer
	policyFunc = hosttest.PolicyFunc
	passOn     = hosttest.PassOn
)

const vault = hosttest.Vault

var (
	platforms          = hosttest.Platforms
	always             = hosttest.Always
	lateBy             = hosttest.LateBy
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
	token              = hosttest.Token
	requireUnavailable = hosttest.RequireUnavailable
	requireFailed      = hosttest.RequireFailed
	inBubble           = hosttest.InBubble
)

func TestMain(m *testing.M) { hosttest.Main(m) }
