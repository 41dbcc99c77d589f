// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package kubectl has no code: it is where the test of kubeconfig.yaml lives.
package kubectl
