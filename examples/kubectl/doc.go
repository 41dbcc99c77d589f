// Copyright (c) azhost authors.
// SPDX-License-Identifier: MIT

// Package kubectl has no code. Its test checks kubeconfig.yaml.
package kubectl
