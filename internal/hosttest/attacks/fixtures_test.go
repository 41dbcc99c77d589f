// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package attacks tests what azhost does if another program listens at a host's address, tries to get the
// host's secret, and may send anything.
package attacks

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
	always             = hosttest.Always
	answer             = hosttest.Answer
	goodToken          = hosttest.GoodToken
	arcOptions         = hosttest.ArcOptions
	token              = hosttest.Token
	requireUnavailable = hosttest.RequireUnavailable
	requireFailed      = hosttest.RequireFailed
	setHost            = hosttest.SetHost
)

func TestMain(m *testing.M) { hosttest.Main(m) }
